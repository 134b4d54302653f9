// stats prints a document of /stats as a Go router has it, by Go's own expvar: its form, cmdline and
// memstats are Go's; the other variables have the members that are documented of the Go router.
//
// Usage: stats SOURCE_TYPE SOURCE_ADDRESS PROCESSOR_TYPE PROCESSOR_ADDRESS [SUBJECT...]
package main

import (
	"encoding/json"
	"expvar"
	"net/http/httptest"
	"os"
	"time"
)

type invocations struct {
	SuccessCount int
	FailureCount int
}

type component struct {
	Type         string                 `json:"type"`
	Address      string                 `json:"address"`
	Started      time.Time              `json:"started"`
	Invocations  map[string]invocations `json:"invocations,omitempty"`
	EventsTotal  *int                   `json:"events_total,omitempty"`
	EventsErr    *int                   `json:"events_err,omitempty"`
	EventsPerSec *float64               `json:"events_per_sec,omitempty"`
}

func (c component) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(text)
}

type load struct {
	Load1, Load5, Load15 float64
}

func main() {
	total, failed, rate := 120, 1, 1.55
	started := time.Now().UTC()
	expvar.Publish("system.allLoad", expvar.Func(func() any { return load{0.1, 0.2, 0.3} }))
	expvar.Publish("system.lastLoad", expvar.Func(func() any { return 0.1 }))
	expvar.Publish("system.numberOfSeconds", expvar.Func(func() any { return 17 }))
	expvar.Publish("system.programName", expvar.Func(func() any { return os.Args[0] }))
	stats := expvar.NewMap("vmware.event.router.stats")
	stats.Set(os.Args[1], component{
		Type: "EventProvider", Address: os.Args[2], Started: started,
		EventsTotal: &total, EventsErr: &failed, EventsPerSec: &rate,
	})
	subjects := map[string]invocations{}
	for _, subject := range os.Args[5:] {
		subjects[subject] = invocations{SuccessCount: 3, FailureCount: 1}
	}
	stats.Set(os.Args[3], component{
		Type: "EventProcessor", Address: os.Args[4], Started: started, Invocations: subjects,
	})
	answer := httptest.NewRecorder()
	expvar.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/stats", nil))
	os.Stdout.WriteString(answer.Header().Get("Content-Type") + "\n")
	os.Stdout.Write(answer.Body.Bytes())
}
