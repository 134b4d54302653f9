package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	stan "github.com/nats-io/nats-streaming-server/server"
	"github.com/openfaas/faas-provider/auth"
	"github.com/openfaas/faas/gateway/handlers"
	"github.com/openfaas/faas/gateway/metrics"
	"github.com/openfaas/faas/gateway/pkg/middleware"
	"github.com/openfaas/faas/gateway/plugin"
	"github.com/openfaas/faas/gateway/scaling"
	"github.com/openfaas/faas/gateway/types"
	"github.com/openfaas/nats-queue-worker/handler"
)

// cluster is the name that gateway and queue worker know NATS Streaming by, and channel the one on
// which they meet: both are their defaults.
const (
	cluster = "faas-cluster"
	channel = "faas-request"
)

// newGateway has the gateway's handlers serve what a connector uses. natsPort 0 means no queue:
// the gateway then has no route for asynchronous calls.
func newGateway(provider string, credentials *auth.BasicAuthCredentials, natsPort int) (http.Handler, error) {
	providerURL, err := url.Parse(provider)
	if err != nil {
		return nil, err
	}
	upstream := types.NewHTTPClientReverseProxy(providerURL, time.Minute, 64, 64)
	toProvider := middleware.SingleHostBaseURLResolver{BaseURL: provider}
	asIs := middleware.TransparentURLPathTransformer{}
	inject := &middleware.BasicAuthInjector{Credentials: credentials}
	counters := metrics.BuildMetricsOptions()
	logged := []handlers.HTTPNotifier{handlers.LoggingNotifier{}}
	counted := append(logged, handlers.PrometheusFunctionNotifier{Metrics: &counters, FunctionNamespace: namespace})

	// What the API does, the provider does; the gateway asks for the account.
	api := func() http.HandlerFunc {
		forward := handlers.MakeForwardingProxyHandler(upstream, logged, toProvider, asIs, inject)
		return auth.DecorateWithBasicAuth(forward, credentials)
	}
	// The gateway adds what Prometheus counted to its list of functions.
	prometheus, err := startPrometheus()
	if err != nil {
		return nil, err
	}
	list := handlers.MakeForwardingProxyHandler(upstream, logged, toProvider, asIs, inject)
	list = auth.DecorateWithBasicAuth(metrics.AddMetricsHandler(list, prometheus), credentials)
	invoke := handlers.MakeCallIDMiddleware(
		handlers.MakeForwardingProxyHandler(upstream, counted, toProvider, asIs, nil))

	const name = "{name:[-a-zA-Z_0-9.]+}"
	router := mux.NewRouter()
	router.HandleFunc("/function/"+name, invoke)
	router.HandleFunc("/function/"+name+"/", invoke)
	router.HandleFunc("/function/"+name+"/{params:.*}", invoke)
	router.HandleFunc("/system/namespaces", api()).Methods(http.MethodGet)
	router.HandleFunc("/system/functions", list).Methods(http.MethodGet)
	router.HandleFunc("/system/functions", api()).Methods(http.MethodPost, http.MethodPut, http.MethodDelete)
	router.HandleFunc("/system/function/"+name, api()).Methods(http.MethodGet)
	if natsPort != 0 {
		queue, err := handler.CreateNATSQueue("127.0.0.1", natsPort, cluster, channel,
			handler.NewDefaultNATSConfig(60, 2*time.Second))
		if err != nil {
			return nil, fmt.Errorf("connect to NATS Streaming: %w", err)
		}
		known := scaling.NewCachedFunctionQuery(scaling.NewFunctionCache(250*time.Millisecond),
			plugin.NewExternalServiceQuery(*providerURL, inject))
		trimmed := middleware.FunctionPrefixTrimmingURLPathTransformer{}
		enqueue := handlers.MakeNotifierWrapper(
			handlers.MakeCallIDMiddleware(handlers.MakeQueuedProxy(counters, queue, trimmed, namespace, known)), logged)
		router.HandleFunc("/async-function/"+name, enqueue).Methods(http.MethodPost)
		router.HandleFunc("/async-function/"+name+"/", enqueue).Methods(http.MethodPost)
		router.HandleFunc("/async-function/"+name+"/{params:.*}", enqueue).Methods(http.MethodPost)
	}
	return router, nil
}

// startPrometheus serves the one query of the gateway: nothing was counted. Without an answer the
// gateway panics and drops the connection of whoever listed functions.
func startPrometheus() (metrics.PrometheusQuery, error) {
	const nothing = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(nothing))
	}))
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		return metrics.PrometheusQuery{}, err
	}
	number, err := strconv.Atoi(port)
	return metrics.NewPrometheusQuery(host, number, server.Client(), "test"), err
}

// startNATS runs NATS Streaming in this process, in memory, and gives its port.
func startNATS() int {
	streaming := stan.GetDefaultOptions()
	streaming.ID = cluster
	nats := stan.NewNATSOptions()
	nats.Host = "127.0.0.1"
	listener := mustListen("127.0.0.1:0")
	nats.Port = listener.Addr().(*net.TCPAddr).Port
	nats.NoSigs = true
	_ = listener.Close()
	if _, err := stan.RunServerWithOpts(streaming, nats); err != nil {
		log.Fatal(err)
	}
	return nats.Port
}
