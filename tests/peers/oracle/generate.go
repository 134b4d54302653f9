package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	_ "unsafe" // for linkname

	"github.com/vmware/govmomi/vim25/types"
)

// registry is the table behind types.TypeFunc, which offers no way to list it.
//
//go:linkname registry github.com/vmware/govmomi/vim25/types.t
var registry map[string]reflect.Type

const (
	eventsInPage  = 100
	randomOfClass = 18
)

// How many members of an object occur.
type richness int

const (
	bare     richness = iota // key and time of the event
	required                 // those that may not be absent
	full                     // all
	chance                   // some, in all ways of writing them
)

// generate prints, for every event class, one event with next to nothing, one with the required
// members, one with all and some with random ones; and for every other class one event that holds
// such an object as a value of any type.
func generate(seed int64, out *bufio.Writer) error {
	m := newMaker(seed)
	var events []string
	for _, class := range m.implementing(reflect.TypeOf((*types.BaseEvent)(nil)).Elem()) {
		for how := bare; how <= full; how++ {
			events = append(events, m.event(class, how))
		}
		for i := 0; i < randomOfClass; i++ {
			events = append(events, m.event(class, chance))
		}
	}
	for _, class := range m.anyTypes {
		events = append(events, m.argument(class, full), m.argument(class, chance))
	}
	m.random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for chunk := range slices.Chunk(events, eventsInPage) {
		page := m.page(chunk)
		fmt.Fprintln(out, len(page), len(chunk))
		out.WriteString(page)
		var lines bytes.Buffer
		buffer := bufio.NewWriter(&lines)
		if err := printPage(page, buffer); err != nil {
			return fmt.Errorf("%w in %s", err, page)
		}
		buffer.Flush()
		out.Write(lines.Bytes())
	}
	occurred := strings.Join(slices.Sorted(maps.Keys(m.occurred)), " ")
	fmt.Fprintln(out, len(occurred), 0)
	out.WriteString(occurred)
	return nil
}

// maker makes events. Equal seeds make equal events.
type maker struct {
	random   *rand.Rand
	names    map[reflect.Type]string
	classes  []string // data objects, sorted
	anyTypes []string // what a value of any type can be
	holds    map[reflect.Type][]string
	turn     map[reflect.Type]int
	occurred map[string]bool
	key      int
}

func newMaker(seed int64) *maker {
	m := &maker{
		random:   rand.New(rand.NewSource(seed)),
		names:    map[reflect.Type]string{},
		holds:    map[reflect.Type][]string{},
		turn:     map[reflect.Type]int{},
		occurred: map[string]bool{},
	}
	for _, name := range slices.Sorted(maps.Keys(registry)) {
		typ := registry[name]
		switch {
		case isInterface(name, typ) || isParameter(name, typ) || isDetail(name, typ):
			continue
		case typ.Kind() == reflect.Struct && name != "ManagedObjectReference":
			m.classes = append(m.classes, name)
			m.anyTypes = append(m.anyTypes, name)
		case typ.Kind() == reflect.String || name == "ManagedObjectReference":
			m.anyTypes = append(m.anyTypes, name)
		default:
			continue
		}
		m.names[typ] = name
	}
	m.anyTypes = append(m.anyTypes, "xsd:boolean", "xsd:byte", "xsd:short", "xsd:int", "xsd:long",
		"xsd:unsignedByte", "xsd:unsignedShort", "xsd:unsignedInt", "xsd:unsignedLong", "xsd:float",
		"xsd:double", "xsd:string", "xsd:dateTime", "xsd:base64Binary")
	return m
}

func isInterface(name string, typ reflect.Type) bool {
	class, ok := strings.CutPrefix(name, "Base")
	return ok && registry[class] == typ
}

func isParameter(name string, typ reflect.Type) bool {
	if typ.Kind() != reflect.Struct {
		return false
	}
	_, ok := typ.FieldByName("This")
	return ok
}

// isDetail tells the elements of a SOAP fault's detail, which govmomi has as types of their own.
func isDetail(name string, typ reflect.Type) bool {
	fault, ok := strings.CutSuffix(name, "Fault")
	return ok && registry[fault] != nil && typ.ConvertibleTo(registry[fault])
}

// implementing gives the classes that a polymorphic member can hold.
func (m *maker) implementing(member reflect.Type) []string {
	if found, ok := m.holds[member]; ok {
		return found
	}
	var found []string
	for _, name := range m.classes {
		if reflect.PointerTo(registry[name]).Implements(member) {
			found = append(found, name)
		}
	}
	m.holds[member] = found
	return found
}

// page wraps events into an answer of ReadNextEvents, with the prefixes that vCenter uses or others.
func (m *maker) page(events []string) string {
	soap, schema := "soapenv", "xsi"
	if m.random.Intn(3) == 0 {
		soap, schema = "S", "i"
	}
	body := strings.ReplaceAll(strings.Join(events, m.space()), "xsi:type=", schema+":type=")
	return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%[1]s:Envelope "+
		"xmlns:%[1]s=\"http://schemas.xmlsoap.org/soap/envelope/\" "+
		"xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" "+
		"xmlns:%[2]s=\"http://www.w3.org/2001/XMLSchema-instance\">\n<%[1]s:Body>\n"+
		"<ReadNextEventsResponse xmlns=\"urn:vim25\">%[3]s</ReadNextEventsResponse>\n"+
		"</%[1]s:Body>\n</%[1]s:Envelope>", soap, schema, body)
}

func (m *maker) event(class string, how richness) string {
	var w strings.Builder
	m.key++
	prefix := ""
	if how == chance && m.random.Intn(4) == 0 {
		prefix = "vim25:"
	}
	fmt.Fprintf(&w, "<returnval xsi:type=\"%s%s\">", prefix, class)
	m.occurred[class] = true
	m.members(&w, registry[class], how, 0)
	w.WriteString("</returnval>")
	return w.String()
}

// argument makes an EventEx with one argument of this type.
func (m *maker) argument(class string, how richness) string {
	var w strings.Builder
	m.key++
	fmt.Fprintf(&w, "<returnval xsi:type=\"EventEx\">%s<eventTypeId>any</eventTypeId><arguments>"+
		"<key>value</key>", m.identity())
	m.anyValue(&w, "value", class, how, 1)
	w.WriteString("</arguments></returnval>")
	return w.String()
}

// identity is what no event can do without.
func (m *maker) identity() string {
	return fmt.Sprintf("<key>%d</key><createdTime>%s</createdTime>", m.key, m.time())
}
