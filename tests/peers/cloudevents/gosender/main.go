// A sender on the official Go SDK: it posts one event in the binary mode, one in the structured mode
// and two in a batch to the address in its argument, and prints a JSON line with mode and status for
// each answer.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	protocol "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// happened is an event with this id and all that an event can have.
func happened(id string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("https://sender.example.com/go")
	e.SetType("com.example.happened")
	e.SetSubject("thing-1")
	e.SetDataSchema("https://sender.example.com/schema")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 600000000, time.UTC))
	e.SetExtension("site", "berlin")
	e.SetExtension("number", 7)
	if err := e.SetData("application/json", map[string]string{"text": "a <b> ü \n"}); err != nil {
		log.Fatal(err)
	}
	return e
}

func main() {
	ctx, url := context.Background(), os.Args[1]
	requests := map[string]func() (*http.Request, error){
		"binary": func() (*http.Request, error) {
			return protocol.NewHTTPRequestFromEvent(binding.WithForceBinary(ctx), url, happened("go-binary"))
		},
		"structured": func() (*http.Request, error) {
			return protocol.NewHTTPRequestFromEvent(binding.WithForceStructured(ctx), url, happened("go-structured"))
		},
		"batch": func() (*http.Request, error) {
			return protocol.NewHTTPRequestFromEvents(ctx, url, []event.Event{happened("go-batch-1"), happened("go-batch-2")})
		},
	}
	for _, mode := range []string{"binary", "structured", "batch"} {
		request, err := requests[mode]()
		if err != nil {
			log.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"mode": mode, "status": answer.StatusCode}); err != nil {
			log.Fatal(err)
		}
	}
}
