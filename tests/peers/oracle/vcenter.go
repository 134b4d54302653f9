package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// pageMax is how many events a vCenter hands out at once.
const pageMax = 1000

// refused is the one class that vcsim v0.54.0 cannot record: it dies of its own message template.
const refused = "VmBeingMigratedEvent"

// post has a vCenter record one made-up event of every class, and prints how many. They are about
// a virtual machine that the vCenter has, since a simulated one looks for it.
func post(address, username, password string, out *bufio.Writer) error {
	return session(address, username, password, func(ctx context.Context, client *govmomi.Client) error {
		machine, err := machine(ctx, client)
		if err != nil {
			return err
		}
		m := newMaker(1)
		classes := m.implementing(reflect.TypeOf((*types.BaseEvent)(nil)).Elem())
		posted := 0
		for _, class := range classes {
			if class == refused {
				continue
			}
			events, err := decode(m.page([]string{m.event(class, chance)}))
			if err != nil {
				return err
			}
			base := events[0].GetEvent()
			base.Datacenter, base.ComputeResource, base.Host = machine.Datacenter, machine.ComputeResource, machine.Host
			base.Vm, base.Ds, base.Net, base.Dvs = machine.Vm, machine.Ds, nil, nil
			if extended, ok := events[0].(*types.EventEx); ok {
				extended.ObjectType, extended.ObjectId = machine.Vm.Vm.Type, machine.Vm.Vm.Value
			}
			request := types.PostEvent{This: *client.ServiceContent.EventManager, EventToPost: events[0]}
			if _, err := methods.PostEvent(ctx, client, &request); err != nil {
				return fmt.Errorf("post %s: %w", class, err)
			}
			posted++
		}
		fmt.Fprintln(out, posted)
		return nil
	})
}

// machine gives an event about a virtual machine.
func machine(ctx context.Context, client *govmomi.Client) (*types.Event, error) {
	var found *types.Event
	err := eachPage(ctx, client, func(events []types.BaseEvent) error {
		for _, event := range events {
			if base := event.GetEvent(); base.Vm != nil && base.Ds != nil {
				found = base
			}
		}
		return nil
	})
	if err == nil && found == nil {
		err = errors.New("no event is about a virtual machine")
	}
	return found, err
}

// read prints all events that a vCenter holds, oldest first.
func read(address, username, password string, out *bufio.Writer) error {
	return session(address, username, password, func(ctx context.Context, client *govmomi.Client) error {
		return eachPage(ctx, client, func(events []types.BaseEvent) error {
			return printEvents(events, out)
		})
	})
}

func eachPage(ctx context.Context, client *govmomi.Client, do func([]types.BaseEvent) error) error {
	collector, err := event.NewManager(client.Client).CreateCollectorForEvents(ctx, types.EventFilterSpec{})
	if err != nil {
		return err
	}
	for {
		events, err := collector.ReadNextEvents(ctx, pageMax)
		if err != nil || len(events) == 0 {
			return err
		}
		if err := do(events); err != nil {
			return err
		}
	}
}

func session(address, username, password string, do func(context.Context, *govmomi.Client) error) error {
	ctx := context.Background()
	at, err := url.Parse(address)
	if err != nil {
		return err
	}
	at.User = url.UserPassword(username, password)
	client, err := govmomi.NewClient(ctx, at, true)
	if err != nil {
		return err
	}
	defer client.Logout(ctx)
	return do(ctx, client)
}

func decode(page string) ([]types.BaseEvent, error) {
	var envelope struct {
		Body methods.ReadNextEventsBody
	}
	decoder := xml.NewDecoder(bytes.NewReader([]byte(page)))
	decoder.TypeFunc = types.TypeFunc()
	if err := decoder.Decode(&envelope); err != nil {
		return nil, err
	}
	if envelope.Body.Res == nil {
		return nil, errors.New("the page is no answer of ReadNextEvents")
	}
	return envelope.Body.Res.Returnval, nil
}
