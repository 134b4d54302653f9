package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

// call is one line of the record.
type call struct {
	// Function is the name of the function.
	Function string `json:"function"`
	// Status is what it answered.
	Status int `json:"status"`
	// Method, Path and Headers are those of the request, names in the form of Go.
	Method  string      `json:"method"`
	Path    string      `json:"path"`
	Headers http.Header `json:"headers"`
	// Body is the text of the request.
	Body string `json:"body"`
}

// function answers with the statuses of its variable "statuses", one after the other and the last
// one again and again.
type function struct {
	name   string
	record string

	mutex    sync.Mutex
	statuses []int
}

func newFunction(name string, getenv func(string) string, record string) http.Handler {
	f := &function{name: name, record: record, statuses: []int{http.StatusOK}}
	if text := getenv("statuses"); text != "" {
		f.statuses = nil
		for _, word := range strings.Split(text, ",") {
			status, err := strconv.Atoi(word)
			if err != nil {
				log.Fatal(err)
			}
			f.statuses = append(f.statuses, status)
		}
	}
	return f
}

func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_/") {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		log.Print(err)
		return
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	status := f.statuses[0]
	if 1 < len(f.statuses) {
		f.statuses = f.statuses[1:]
	}
	line, err := json.Marshal(call{f.name, status, r.Method, r.URL.Path, r.Header, string(body)})
	if err == nil {
		err = f.append(append(line, '\n'))
	}
	if err != nil {
		log.Fatal(err)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "%s answers %d", f.name, status)
}

// append writes a whole line at once: the file is read while it grows, and functions share it.
func (f *function) append(line []byte) error {
	file, err := os.OpenFile(f.record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(line)
	return errors.Join(err, file.Close())
}
