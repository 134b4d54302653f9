// alertmanager is Alertmanager's own API version 2 over its own store of alerts, without its pages,
// which the Go module does not have.
//
// It prints {"url": ...} and serves until its standard input ends.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/alertmanager/api"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/labelset"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"
)

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	registry := prometheus.NewRegistry()
	alerts, err := mem.NewAlerts(context.Background(), time.Minute, 0, nil, logger,
		eventrecorder.Recorder{}, registry, nil)
	check(err)
	silences, err := silence.New(silence.Options{Retention: time.Hour, Logger: logger, Metrics: registry})
	check(err)
	noGroups := func(context.Context, func(*dispatch.Route) bool, dispatch.AlertFilter) (
		dispatch.AlertGroups, map[model.Fingerprint][]string, error) {
		return nil, nil, nil
	}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "duration"},
		[]string{"handler", "method", "code"})
	served, err := api.New(api.Options{
		Alerts: alerts, Silences: silences, GroupFunc: noGroups, Logger: logger, Registry: registry,
		RequestDuration: durations,
	})
	check(err)
	settings, err := config.Load("route: {receiver: none}\nreceivers: [{name: none}]\n")
	check(err)
	served.Update(settings, func(context.Context, labelset.LabelSet) {})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(map[string]string{"url": "http://" + listener.Addr().String()}))
	go func() { log.Fatal(http.Serve(listener, served.Register(route.New(), "/"))) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
