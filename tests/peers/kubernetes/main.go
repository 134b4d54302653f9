// kube-apiserver with an etcd of its own in one process, as a test peer.
//
// Nothing of Kubernetes is changed: this program makes keys and certificates, picks a free port,
// prints one JSON line when the server is ready, and ends when its standard input ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

const (
	adminToken = "administrator"
	startMax   = 2 * time.Minute
)

// started is the line on standard output that says where the server listens and who may do all.
type started struct {
	URL string `json:"url"`
	// Etcd is where its etcd takes clients, JSON too.
	Etcd string `json:"etcd"`
	// CA signed the server's certificate.
	CA string `json:"ca"`
	// AdminToken belongs to the group system:masters, and so do the certificate and its key.
	AdminToken        string `json:"adminToken"`
	ClientCertificate string `json:"clientCertificate"`
	ClientKey         string `json:"clientKey"`
}

func main() {
	folder, err := os.MkdirTemp("", "kubernetes-peer-")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = os.RemoveAll(folder)
		os.Exit(0)
	}()
	if err := run(folder); err != nil {
		_ = os.RemoveAll(folder)
		log.Fatal(err)
	}
}

func run(folder string) error {
	storage, err := startEtcd(filepath.Join(folder, "etcd"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	identity, err := makeIdentity(folder)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- serve(folder, storage, listener) }()

	line := started{
		URL:               "https://" + listener.Addr().String(),
		Etcd:              storage,
		CA:                string(identity.authority),
		AdminToken:        adminToken,
		ClientCertificate: string(identity.clientCertificate),
		ClientKey:         string(identity.clientKey),
	}
	ready := make(chan error, 1)
	go func() { ready <- waitUntilReady(line.URL, identity) }()
	select {
	case err = <-failed:
		return fmt.Errorf("kube-apiserver: %w", err)
	case err = <-ready:
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		return err
	}
	return <-failed
}

// startEtcd gives the URL at which it takes clients.
func startEtcd(folder string) (string, error) {
	config := embed.NewConfig()
	config.Dir = folder
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	anyPort := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	// The JSON gateway connects to the address as it stands here, so its port must be known.
	free, err := net.Listen("tcp", anyPort.Host)
	if err != nil {
		return "", err
	}
	clients := url.URL{Scheme: "http", Host: free.Addr().String()}
	_ = free.Close()
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{anyPort}, []url.URL{anyPort}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return "", err
	}
	select {
	case <-server.Server.ReadyNotify():
		return "http://" + server.Clients[0].Addr().String(), nil
	case err := <-server.Err():
		return "", err
	case <-time.After(startMax):
		return "", fmt.Errorf("not ready within %v", startMax)
	}
}

// serve runs kube-apiserver until it fails.
func serve(folder, storage string, listener net.Listener) error {
	in := func(name string) string { return filepath.Join(folder, name) }
	arguments := []string{
		"--etcd-servers=" + storage,
		"--tls-cert-file=" + in("server.crt"),
		"--tls-private-key-file=" + in("server.key"),
		"--client-ca-file=" + in("ca.crt"),
		"--service-account-key-file=" + in("server.key"),
		"--service-account-signing-key-file=" + in("server.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--token-auth-file=" + in("tokens.csv"),
		"--authorization-mode=RBAC",
		"--anonymous-auth=false",
		"--endpoint-reconciler-type=none",
	}
	setup := options.NewServerRunOptions()
	setup.SecureServing.Listener = listener
	setup.SecureServing.BindPort = listener.Addr().(*net.TCPAddr).Port
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range setup.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if err := setup.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	ctx := context.Background()
	completed, err := setup.Complete(ctx)
	if err != nil {
		return err
	}
	if problems := completed.Validate(); len(problems) != 0 {
		return fmt.Errorf("%v", problems)
	}
	return app.Run(ctx, completed)
}

func waitUntilReady(address string, identity identity) error {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: identity.trust()}, Timeout: 10 * time.Second}
	end := time.Now().Add(startMax)
	for {
		request, err := http.NewRequest(http.MethodGet, address+"/readyz", nil)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+adminToken)
		last := "no answer"
		response, err := client.Do(request)
		if err != nil {
			last = err.Error()
		} else {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			last = response.Status
		}
		if time.Now().After(end) {
			return fmt.Errorf("not ready within %v: %s", startMax, last)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
