// Reads a RouterConfig as the Go VMware Event Router did: with the library and the version that it
// used, strictly, into structures with the documented fields. Prints what it understood as JSON;
// exits with 1 and the error if it refused.
package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

type config struct {
	APIVersion      string       `yaml:"apiVersion"`
	Kind            string       `yaml:"kind"`
	Metadata        metadata     `yaml:"metadata"`
	EventProvider   provider     `yaml:"eventProvider"`
	EventProcessor  processor    `yaml:"eventProcessor"`
	MetricsProvider metrics      `yaml:"metricsProvider"`
	Certificates    certificates `yaml:"certificates"`
}

type metadata struct {
	Name   string            `yaml:"name"`
	Labels map[string]string `yaml:"labels"`
}

type provider struct {
	Type    string   `yaml:"type"`
	Name    string   `yaml:"name"`
	VCenter *vcenter `yaml:"vcenter"`
	VCSim   *vcsim   `yaml:"vcsim"`
	Webhook *webhook `yaml:"webhook"`
	Horizon *horizon `yaml:"horizon"`
}

type vcenter struct {
	Address       string `yaml:"address"`
	InsecureSSL   bool   `yaml:"insecureSSL"`
	Checkpoint    bool   `yaml:"checkpoint"`
	CheckpointDir string `yaml:"checkpointDir"`
	Auth          *auth  `yaml:"auth"`
}

type vcsim struct {
	Address     string `yaml:"address"`
	InsecureSSL bool   `yaml:"insecureSSL"`
	Auth        *auth  `yaml:"auth"`
}

type webhook struct {
	BindAddress string `yaml:"bindAddress"`
	Path        string `yaml:"path"`
	Auth        *auth  `yaml:"auth"`
}

type horizon struct {
	Address     string `yaml:"address"`
	InsecureSSL bool   `yaml:"insecureSSL"`
	Auth        *auth  `yaml:"auth"`
}

type processor struct {
	Type        string       `yaml:"type"`
	Name        string       `yaml:"name"`
	OpenFaaS    *openfaas    `yaml:"openfaas"`
	EventBridge *eventbridge `yaml:"awsEventBridge"`
	Knative     *knative     `yaml:"knative"`
}

type openfaas struct {
	Address string `yaml:"address"`
	Async   bool   `yaml:"async"`
	Auth    *auth  `yaml:"auth"`
}

type eventbridge struct {
	Region   string `yaml:"region"`
	EventBus string `yaml:"eventBus"`
	RuleARN  string `yaml:"ruleARN"`
	Auth     *auth  `yaml:"auth"`
}

type knative struct {
	Destination *destination `yaml:"destination"`
	Encoding    string       `yaml:"encoding"`
	InsecureSSL bool         `yaml:"insecureSSL"`
	Auth        *auth        `yaml:"auth"`
}

type destination struct {
	Ref *reference `yaml:"ref"`
	URI *url.URL   `yaml:"uri"`
}

type reference struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Name       string `yaml:"name"`
	Namespace  string `yaml:"namespace"`
}

type metrics struct {
	Type    string         `yaml:"type"`
	Name    string         `yaml:"name"`
	Default *defaultMetric `yaml:"default"`
}

type defaultMetric struct {
	BindAddress string `yaml:"bindAddress"`
	Auth        *auth  `yaml:"auth"`
}

type certificates struct {
	RootCAs []string `yaml:"rootCAs"`
}

type auth struct {
	Type             string   `yaml:"type"`
	BasicAuth        *basic   `yaml:"basicAuth"`
	AWSAccessKeyAuth *keys    `yaml:"awsAccessKeyAuth"`
	ActiveDirectory  *windows `yaml:"activeDirectoryAuth"`
}

type basic struct {
	Username string `yaml:"username"`
	Password string `yaml:"password"`
}

type keys struct {
	AccessKey string `yaml:"accessKey"`
	SecretKey string `yaml:"secretKey"`
}

type windows struct {
	Domain   string `yaml:"domain"`
	Username string `yaml:"username"`
	Password string `yaml:"password"`
}

func main() {
	var read config
	if err := yaml.NewDecoder(os.Stdin, yaml.Strict()).Decode(&read); err != nil {
		// What follows is the text of the file.
		fmt.Fprintln(os.Stderr, strings.Split(err.Error(), "\n")[0])
		os.Exit(1)
	}
	uri := ""
	if processor := read.EventProcessor.Knative; processor != nil && processor.Destination != nil &&
		processor.Destination.URI != nil {
		uri = processor.Destination.URI.String()
		processor.Destination.URI = nil
	}
	text, err := json.Marshal(map[string]any{"config": read, "uri": uri})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}
