// vcsim, the vCenter simulator of govmomi, as a test peer.
//
// The module path github.com/vmware/govmomi/vcsim is not to be had at v0.54.0, but the simulator
// itself lives in the main module. Beyond it, this program only takes flags, prints one JSON line
// when it listens, and ends when its standard input ends: a test that dies leaves nothing behind.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

// started is the line on standard output that says where the simulator listens.
type started struct {
	// URL of the SDK, without user information.
	URL string `json:"url"`
	// SHA256 of the certificate in hexadecimal digits, if TLS is on.
	SHA256 string `json:"sha256,omitempty"`
	// Certificate in PEM, likewise.
	Certificate string `json:"certificate,omitempty"`
}

func main() {
	listen := flag.String("l", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	withTLS := flag.Bool("tls", false, "serve HTTPS with the simulator's own certificate")
	username := flag.String("username", "user", "the one account")
	password := flag.String("password", "pass", "its password")
	machines := flag.Int("vm", 2, "virtual machines per resource pool: one pool in the cluster, one on the lone host")
	trace := flag.Bool("trace", false, "SOAP traffic to standard error")
	flag.Parse()

	model := simulator.VPX()
	model.Machine = *machines
	defer model.Remove()
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}

	simulator.Trace = *trace
	service := model.Service
	service.RegisterEndpoints = true
	service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*username, *password)}
	if *withTLS {
		service.TLS = new(tls.Config)
	}
	server := service.NewServer()

	address := *server.URL
	address.User = nil
	line := started{URL: address.String()}
	if *withTLS {
		der := server.Certificate().Raw
		sum := sha256.Sum256(der)
		line.SHA256 = hex.EncodeToString(sum[:])
		line.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}

	_, _ = io.Copy(io.Discard, os.Stdin)
	model.Remove()
}
