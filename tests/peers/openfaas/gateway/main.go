// The gateway of OpenFaaS as a test peer: its own handlers, queue and authentication, in front of a
// small provider of ours.
//
// The gateway's own program listens on fixed ports of all addresses. This one puts the gateway's
// packages on a free port of loopback, prints one JSON line when it listens, and ends when its
// standard input ends: a test that dies leaves nothing behind. Functions are deployed through the
// gateway's API, and every call of one is a line of the file -record.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/openfaas/faas-provider/auth"
)

// started is the line on standard output that says what listens where.
type started struct {
	// URL of the gateway.
	URL string `json:"url"`
	// NATSPort is the port of NATS Streaming, if the gateway has a queue.
	NATSPort int `json:"natsPort,omitempty"`
}

func main() {
	listen := flag.String("l", "127.0.0.1:0", "address of the gateway; port 0 takes a free one")
	username := flag.String("username", "admin", "account of the gateway's API")
	password := flag.String("password", "admin", "its password")
	record := flag.String("record", "calls.jsonl", "file to which calls of functions are appended")
	queue := flag.Bool("queue", false, "start NATS Streaming and take asynchronous calls")
	flag.Parse()

	credentials := &auth.BasicAuthCredentials{User: *username, Password: *password}
	provider := newProvider(*record)
	providerListener := mustListen("127.0.0.1:0")
	go func() { log.Fatal(http.Serve(providerListener, provider.handler(credentials))) }()

	line := started{}
	if *queue {
		line.NATSPort = startNATS()
	}
	gateway, err := newGateway("http://"+providerListener.Addr().String(), credentials, line.NATSPort)
	if err != nil {
		log.Fatal(err)
	}
	listener := mustListen(*listen)
	go func() { log.Fatal(http.Serve(listener, gateway)) }()
	line.URL = "http://" + listener.Addr().String()
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}

	_, _ = io.Copy(io.Discard, os.Stdin)
	provider.stopAll()
}

func mustListen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}
