package main

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// depthMax is how deep objects hold objects.
const depthMax = 5

var timeType = reflect.TypeOf(time.Time{})

// members writes the members of an object: those of its base classes first.
func (m *maker) members(w *strings.Builder, typ reflect.Type, how richness, depth int) {
	elements := m.elements(typ, how, depth)
	if how == chance && m.random.Intn(30) == 0 {
		m.random.Shuffle(len(elements), func(i, j int) {
			elements[i], elements[j] = elements[j], elements[i]
		})
	}
	for _, element := range elements {
		if how == chance {
			w.WriteString(m.space())
		}
		w.WriteString(element)
	}
}

func (m *maker) elements(typ reflect.Type, how richness, depth int) []string {
	var elements []string
	for i := 0; i < typ.NumField(); i++ {
		field := typ.Field(i)
		if field.Anonymous {
			elements = append(elements, m.elements(field.Type, how, depth)...)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("xml"), ",")
		if depth == 0 && (name == "key" || name == "createdTime") && typ.Name() == "Event" {
			var w strings.Builder
			if name == "key" {
				fmt.Fprintf(&w, "<key>%d</key>", m.key)
			} else {
				fmt.Fprintf(&w, "<createdTime>%s</createdTime>", m.time())
			}
			elements = append(elements, w.String())
			continue
		}
		optional := strings.Contains(options, "omitempty") || field.Type.Kind() == reflect.Pointer
		if !m.wanted(how, optional, depth) {
			continue
		}
		for range m.count(field.Type, how) {
			var w strings.Builder
			m.element(&w, name, element(field.Type), how, depth)
			elements = append(elements, w.String())
		}
	}
	return elements
}

func (m *maker) wanted(how richness, optional bool, depth int) bool {
	switch {
	case how == bare || depthMax < depth:
		return false
	case how == required:
		return !optional
	case how == full:
		return true
	}
	return m.random.Intn(2+depth) == 0
}

// element is the type of one element of a member.
func element(typ reflect.Type) reflect.Type {
	if typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Uint8 {
		return typ.Elem()
	}
	return typ
}

// count is how often the element of a member occurs.
func (m *maker) count(typ reflect.Type, how richness) int {
	switch {
	case element(typ) == typ:
		return 1
	case how == chance:
		return m.random.Intn(4)
	}
	return 2
}

// element writes one element of a member of this type.
func (m *maker) element(w *strings.Builder, name string, typ reflect.Type, how richness, depth int) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ.Kind() == reflect.Interface && typ.NumMethod() == 0:
		m.anyValue(w, name, m.anyTypes[m.random.Intn(len(m.anyTypes))], how, depth+1)
	case typ.Kind() == reflect.Interface:
		classes := m.implementing(typ)
		// One after the other, so that each has its turn.
		class := classes[m.turn[typ]%len(classes)]
		m.turn[typ]++
		declared := m.names[registry[typ.Name()]]
		m.object(w, name, class, class != declared || m.random.Intn(2) == 0, how, depth+1)
	case typ.Kind() == reflect.Struct && typ != timeType && typ.Name() != "ManagedObjectReference":
		m.object(w, name, m.names[typ], false, how, depth+1)
	default:
		attribute, text := m.scalar(typ)
		m.leaf(w, name, attribute, text, how)
	}
}

func (m *maker) object(w *strings.Builder, name, class string, typed bool, how richness, depth int) {
	m.occurred[class] = true
	attribute := ""
	if typed {
		attribute = " xsi:type=\"" + class + "\""
	}
	fmt.Fprintf(w, "<%s%s>", name, attribute)
	m.members(w, registry[class], how, depth)
	fmt.Fprintf(w, "</%s>", name)
}

var builtIn = map[string]reflect.Type{
	"xsd:boolean":       reflect.TypeOf(false),
	"xsd:byte":          reflect.TypeOf(int8(0)),
	"xsd:short":         reflect.TypeOf(int16(0)),
	"xsd:int":           reflect.TypeOf(int32(0)),
	"xsd:long":          reflect.TypeOf(int64(0)),
	"xsd:unsignedByte":  reflect.TypeOf(uint16(0)), // Go would wrap a negative one
	"xsd:unsignedShort": reflect.TypeOf(uint16(0)),
	"xsd:unsignedInt":   reflect.TypeOf(uint32(0)),
	"xsd:unsignedLong":  reflect.TypeOf(uint64(0)),
	"xsd:float":         reflect.TypeOf(float32(0)),
	"xsd:double":        reflect.TypeOf(float64(0)),
	"xsd:string":        reflect.TypeOf(""),
	"xsd:dateTime":      timeType,
	"xsd:base64Binary":  reflect.TypeOf([]byte{}),
}

// anyValue writes a value of any type: the type stands in the element.
func (m *maker) anyValue(w *strings.Builder, name, class string, how richness, depth int) {
	m.occurred[class] = true
	typ, ok := builtIn[class]
	if !ok {
		typ = registry[class]
	}
	if typ.Kind() == reflect.Struct && typ != timeType && class != "ManagedObjectReference" {
		m.object(w, name, class, true, how, depth)
		return
	}
	attribute, text := m.scalar(typ)
	if class == "xsd:unsignedByte" {
		text = strconv.Itoa(m.random.Intn(256))
	}
	m.leaf(w, name, " xsi:type=\""+class+"\""+attribute, text, how)
}

// leaf writes an element that holds text.
func (m *maker) leaf(w *strings.Builder, name, attribute, text string, how richness) {
	if text == "" && m.random.Intn(2) == 0 {
		fmt.Fprintf(w, "<%s%s/>", name, attribute)
		return
	}
	fmt.Fprintf(w, "<%s%s>%s</%s>", name, attribute, m.written(text, how), name)
}

// scalar gives the text of a value of this type, and an attribute that it needs.
func (m *maker) scalar(typ reflect.Type) (attribute, text string) {
	switch typ.Kind() {
	case reflect.Bool:
		return "", m.one("true", "false", "1", "0", "", " true")
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "", m.integer(uint(typ.Bits()))
	case reflect.Uint8:
		return "", m.one("0", "1", "200", "255", "-1", "-128", "")
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "", strconv.FormatUint(m.random.Uint64()>>(64-typ.Bits()+m.random.Intn(8)), 10)
	case reflect.Float32, reflect.Float64:
		return "", m.float(typ.Bits())
	case reflect.String:
		return "", m.text()
	case reflect.Slice:
		bytes := make([]byte, m.random.Intn(20))
		m.random.Read(bytes)
		return "", base64.StdEncoding.EncodeToString(bytes)
	}
	if typ == timeType {
		return "", m.time()
	}
	return " type=\"" + m.one("VirtualMachine", "HostSystem", "Folder") + "\"",
		m.one("vm-56", "host-9", "group-d1", "<&>")
}

func (m *maker) integer(bits uint) string {
	number := m.random.Int63() >> (64 - bits + uint(m.random.Intn(int(bits))))
	switch m.random.Intn(8) {
	case 0:
		number = -number - 1
	case 1:
		return m.one("0", "-0", "007", "", " 7 ", "+7")
	case 2:
		number = int64(-1) << (bits - 1)
	}
	return strconv.FormatInt(number, 10)
}

func (m *maker) float(bits int) string {
	switch m.random.Intn(4) {
	case 0:
		return m.one("0", "1", "-1.50", "", "1e-7", "0.000001", "1E21", "1e20", "-0", "100000000000000000000000",
			"16777217", "3.4028235e38", "1.17549435E-38", " 2.5")
	case 1:
		return strconv.FormatFloat(m.random.NormFloat64()*1e-5, 'e', -1, bits)
	case 2:
		return strconv.FormatFloat(m.random.NormFloat64()*1e21, 'g', -1, bits)
	}
	return strconv.FormatFloat(m.random.NormFloat64()*100, 'f', m.random.Intn(8), bits)
}

// time gives a point in time as vCenter and hosts write them.
func (m *maker) time() string {
	seconds := time.Unix(m.random.Int63n(4e9), 0).UTC().Format("2006-01-02T15:04:05")
	fraction := m.one("", "", ".413999", ".1", ".100", ".000", ".123456789", ".0000001000", ".12345678901")
	return seconds + fraction + m.one("Z", "Z", "Z", "+00:00", "-00:00", "+02:00", "-11:30")
}

// text gives a string, with what is hard to carry through XML and JSON in it.
func (m *maker) text() string {
	var text strings.Builder
	for range m.random.Intn(6) {
		text.WriteString(m.one("vm", "web-01", " ", "é", "ünï", "漢字", "🚀", "<", ">", "&", "\"", "'", "\\", "/",
			"\t", "\n", "\u2028", "\u2029", "\u00a0", "\u007f", "]]", "&amp;", "%2f", "a b", "0"))
	}
	return text.String()
}

// written writes text as XML in one of its ways.
func (m *maker) written(text string, how richness) string {
	if how == chance && !strings.Contains(text, "]]") && m.random.Intn(8) == 0 {
		return "<![CDATA[" + text + "]]>"
	}
	var w strings.Builder
	for _, char := range text {
		switch {
		case how == chance && m.random.Intn(30) == 0:
			fmt.Fprintf(&w, m.one("&#%d;", "&#x%x;", "&#x%X;"), char)
		case char == '<':
			w.WriteString("&lt;")
		case char == '&':
			w.WriteString("&amp;")
		case char == '>':
			w.WriteString("&gt;")
		case char == '"' && m.random.Intn(2) == 0:
			w.WriteString("&quot;")
		case char == '\n' && how == chance:
			w.WriteString(m.one("\n", "\r\n", "\r"))
		default:
			w.WriteRune(char)
		}
		if how == chance && m.random.Intn(100) == 0 {
			w.WriteString("<!-- a > comment -->")
		}
	}
	return w.String()
}

// space is what may stand between elements.
func (m *maker) space() string {
	return m.one("", "", "", "", "\n", "  \t", "<!-- < & -->", "<?target data?>")
}

func (m *maker) one(texts ...string) string {
	return texts[m.random.Intn(len(texts))]
}
