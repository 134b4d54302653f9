package main

import (
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/auth"
	"github.com/openfaas/faas-provider/proxy"
	"github.com/openfaas/faas-provider/types"
)

// namespace is the only one, as in the Community Edition.
const namespace = "openfaas-fn"

// provider starts and stops functions as the gateway tells it.
type provider struct {
	record string

	mutex     sync.Mutex
	functions map[string]*deployed
}

// deployed is a function that runs.
type deployed struct {
	status types.FunctionStatus
	url    url.URL
	stop   func()
}

func newProvider(record string) *provider {
	return &provider{record: record, functions: map[string]*deployed{}}
}

// handler serves what the gateway asks of a provider; calls of functions go through the proxy that
// all providers share.
func (p *provider) handler(credentials *auth.BasicAuthCredentials) http.Handler {
	guarded := func(handler http.HandlerFunc) http.HandlerFunc {
		return auth.DecorateWithBasicAuth(handler, credentials)
	}
	invoke := proxy.NewHandlerFunc(types.FaaSConfig{ReadTimeout: time.Minute}, p, false)
	router := mux.NewRouter()
	router.HandleFunc("/system/namespaces", guarded(p.namespaces)).Methods(http.MethodGet)
	router.HandleFunc("/system/functions", guarded(p.list)).Methods(http.MethodGet)
	router.HandleFunc("/system/functions", guarded(p.deploy)).Methods(http.MethodPost, http.MethodPut)
	router.HandleFunc("/system/functions", guarded(p.remove)).Methods(http.MethodDelete)
	router.HandleFunc("/system/function/{name}", guarded(p.one)).Methods(http.MethodGet)
	router.HandleFunc("/function/{name}", invoke)
	router.HandleFunc("/function/{name}/", invoke)
	router.HandleFunc("/function/{name}/{params:.*}", invoke)
	return router
}

// Resolve finds the address of a function for the proxy.
func (p *provider) Resolve(name string) (url.URL, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	function, ok := p.functions[strings.TrimSuffix(name, "."+namespace)]
	if !ok {
		return url.URL{}, errors.New("not deployed")
	}
	return function.url, nil
}

func (p *provider) namespaces(w http.ResponseWriter, _ *http.Request) {
	answer(w, []string{namespace})
}

func (p *provider) list(w http.ResponseWriter, r *http.Request) {
	if wanted := r.URL.Query().Get("namespace"); wanted != "" && wanted != namespace {
		http.Error(w, "unable to list functions: namespace not allowed", http.StatusBadRequest)
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	list := []types.FunctionStatus{}
	for _, function := range p.functions {
		list = append(list, function.status)
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Name < list[b].Name })
	answer(w, list)
}

func (p *provider) one(w http.ResponseWriter, r *http.Request) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	function, ok := p.functions[strings.TrimSuffix(mux.Vars(r)["name"], "."+namespace)]
	if !ok {
		http.Error(w, "not deployed", http.StatusNotFound)
		return
	}
	answer(w, function.status)
}

func (p *provider) deploy(w http.ResponseWriter, r *http.Request) {
	var wanted types.FunctionDeployment
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	function, err := p.start(&wanted)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	function.status = types.FunctionStatus{
		Name: wanted.Service, Image: wanted.Image, Namespace: namespace, EnvVars: wanted.EnvVars,
		Labels: wanted.Labels, Annotations: wanted.Annotations, Replicas: 1, AvailableReplicas: 1,
		CreatedAt: time.Now(),
	}
	p.mutex.Lock()
	old := p.functions[wanted.Service]
	p.functions[wanted.Service] = function
	p.mutex.Unlock()
	if old != nil {
		old.stop()
	}
	w.WriteHeader(http.StatusAccepted)
}

func (p *provider) remove(w http.ResponseWriter, r *http.Request) {
	var wanted types.DeleteFunctionRequest
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mutex.Lock()
	function, ok := p.functions[wanted.FunctionName]
	delete(p.functions, wanted.FunctionName)
	p.mutex.Unlock()
	if !ok {
		http.Error(w, "not deployed", http.StatusNotFound)
		return
	}
	function.stop()
	w.WriteHeader(http.StatusAccepted)
}

func (p *provider) stopAll() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, function := range p.functions {
		function.stop()
	}
}

// start runs a function on a port of its own. of-watchdog, which would be its server in a container,
// is not to be had as a module, and listens on a fixed port for metrics.
func (p *provider) start(wanted *types.FunctionDeployment) (*deployed, error) {
	getenv := func(name string) string { return wanted.EnvVars[name] }
	server := &http.Server{Handler: newFunction(wanted.Service, getenv, p.record)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = server.Serve(listener) }()
	return &deployed{url: address(listener.Addr().String()), stop: func() { _ = server.Close() }}, nil
}

func address(host string) url.URL {
	return url.URL{Scheme: "http", Host: host}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}
