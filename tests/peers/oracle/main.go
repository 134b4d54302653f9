// Command oracle knows how the Go router printed events: it decodes SOAP pages with the govmomi
// that the Go router was built with and prints each event as encoding/json does.
//
//	oracle generate SEED   pages of made-up events, and what the Go router prints of them
//	oracle decode          what the Go router prints of the page on standard input
//	oracle post URL USER PASSWORD
//	                       has a vCenter record one event of every class, prints how many
//	oracle read URL USER PASSWORD
//	                       what the Go router prints of the events that a vCenter holds
//
// A generated page is a line "BYTES EVENTS", the page, and one line for each event, with the JSON.
// The last line is "BYTES 0" of a text that names the classes that occurred.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

func main() {
	// What Go prints of an offset must not depend on where the test runs.
	time.Local = time.UTC
	out := bufio.NewWriter(os.Stdout)
	err := run(os.Args[1:], out)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(arguments []string, out *bufio.Writer) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "generate":
		seed, err := strconv.ParseInt(arguments[1], 10, 64)
		if err != nil {
			return err
		}
		return generate(seed, out)
	case len(arguments) == 4 && arguments[0] == "post":
		return post(arguments[1], arguments[2], arguments[3], out)
	case len(arguments) == 4 && arguments[0] == "read":
		return read(arguments[1], arguments[2], arguments[3], out)
	case len(arguments) == 1 && arguments[0] == "decode":
		page, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		return printPage(string(page), out)
	}
	return errors.New("usage: oracle generate SEED | decode | post URL USER PASSWORD | read URL USER PASSWORD")
}

// printPage prints the events of one answer of ReadNextEvents, a line each.
func printPage(page string, out *bufio.Writer) error {
	events, err := decode(page)
	if err != nil {
		return err
	}
	return printEvents(events, out)
}

func printEvents(events []types.BaseEvent, out *bufio.Writer) error {
	for _, event := range events {
		line, err := json.Marshal(event)
		if err != nil {
			return err
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return nil
}
