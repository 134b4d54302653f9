// A CloudEvents sink on the official Go SDK.
//
// Each request is read and validated by the SDK as it comes in and appended to a file as one JSON
// line, in the form of the receiver on the Python SDK. One JSON line on standard output says where
// it listens. It ends when its standard input ends.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	protocol "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// record is one request.
type record struct {
	Received   float64           `json:"received"`
	Path       string            `json:"path"`
	Headers    map[string]string `json:"headers"`
	Mode       string            `json:"mode,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Data       json.RawMessage   `json:"data,omitempty"`
	Refused    string            `json:"refused,omitempty"`
	Status     int               `json:"status"`
}

func main() {
	path := flag.String("file", "", "events are appended here, one JSON line each")
	flag.Parse()
	file, err := os.OpenFile(*path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	var lock sync.Mutex
	handler := func(writer http.ResponseWriter, request *http.Request) {
		line := read(request)
		lock.Lock()
		defer lock.Unlock()
		if err := json.NewEncoder(file).Encode(line); err != nil {
			log.Fatal(err)
		}
		writer.WriteHeader(line.Status)
	}
	go func() { log.Fatal(http.Serve(listener, http.HandlerFunc(handler))) }()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"url": "http://" + listener.Addr().String() + "/"}); err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func read(request *http.Request) record {
	line := record{
		Received: float64(time.Now().UnixMicro()) / 1e6,
		Path:     request.URL.Path,
		Headers:  map[string]string{},
		Status:   http.StatusAccepted,
	}
	for name := range request.Header {
		line.Headers[name] = request.Header.Get(name)
	}
	refuse := func(err error) record {
		line.Refused, line.Status = err.Error(), http.StatusBadRequest
		return line
	}
	message := protocol.NewMessageFromHttpRequest(request)
	defer func() { _ = message.Finish(nil) }()
	line.Mode = message.ReadEncoding().String()
	received, err := binding.ToEvent(request.Context(), message)
	if err != nil {
		return refuse(err)
	}
	if err := received.Validate(); err != nil {
		return refuse(err)
	}
	line.Attributes = attributes(received)
	line.Data = received.Data()
	return line
}

func attributes(received *event.Event) map[string]string {
	all := map[string]string{
		"id": received.ID(), "source": received.Source(), "type": received.Type(),
		"datacontenttype": received.DataContentType(),
	}
	if received.Subject() != "" {
		all["subject"] = received.Subject()
	}
	if !received.Time().IsZero() {
		all["time"] = received.Time().Format(time.RFC3339Nano)
	}
	for name := range received.Extensions() {
		if text, ok := received.Extensions()[name].(string); ok {
			all[name] = text
		}
	}
	return all
}
