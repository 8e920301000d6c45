package msgpack

import (
	"bufio"
	"bytes"
	stdjson "encoding/json"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/fanwire/fanwire/protocol/socketio"
	"github.com/fanwire/fanwire/protocol/testdata"
)

// official is one value and what the official packages make of it.
type official struct {
	Kind        string         `json:"kind"`
	Hex         testdata.Hex   `json:"hex"`
	JSON        *string        `json:"json"`
	Attachments []testdata.Hex `json:"attachments"`
}

// TestOfficial is run by e2e/vectors/msgpack.mjs, which generates the values.
func TestOfficial(t *testing.T) {
	name := os.Getenv("FANWIRE_TEST_MSGPACK")
	if name == "" {
		t.Skip("FANWIRE_TEST_MSGPACK is not set: run node e2e/vectors/msgpack.mjs")
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	count := map[string]int{}
	check := map[string]func(*testing.T, official) string{"value": officialValue, "packet": officialPacket, "mutant": officialMutant}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var v official
		if err := stdjson.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		count[check[v.Kind](t, v)]++
	}
	if lines.Err() != nil || len(count) == 0 {
		t.Fatalf("%v values, error %v", count, lines.Err())
	}
	t.Log(count)
}

// officialValue: both ways give the same bytes and the same text.
func officialValue(t *testing.T, v official) string {
	json, atts, err := toJSON(v.Hex)
	if err != nil || string(json) != *v.JSON || !sameBytes(atts, v.Attachments) {
		t.Errorf("%x: %s, %v\nofficially %s", v.Hex, json, err, *v.JSON)
	}
	var all [][]byte
	for _, a := range v.Attachments {
		all = append(all, a)
	}
	msg, lossless, err := AppendFromJSON(nil, []byte(*v.JSON), all)
	if err != nil || !lossless || !bytes.Equal(msg, v.Hex) {
		t.Errorf("%s: %x, %v, %v\nofficially %x", *v.JSON, msg, lossless, err, v.Hex)
	}
	return v.Kind
}

// officialPacket: the parser reads the same data.
func officialPacket(t *testing.T, v official) string {
	var p socketio.Packet
	_, err := Parser.NewDecoder(socketio.Limits{}).Decode(v.Hex, true, &p)
	if err != nil || string(p.Data) != *v.JSON || !sameBytes(p.Attachments, v.Attachments) {
		t.Errorf("%x: %s, %v\nofficially %s", v.Hex, p.Data, err, *v.JSON)
	}
	return v.Kind
}

var replaced = regexp.MustCompile("\ufffd+")

// officialMutant: what we accept is accepted and means the same there, but for
// the digits of large integers, the order of keys, and how often bytes that are
// not UTF-8 are replaced. What we refuse is refused or against a rule of ours.
func officialMutant(t *testing.T, v official) string {
	json, _, err := toJSON(v.Hex)
	switch {
	case err != nil && v.JSON == nil:
		return "mutant refused"
	case err == ErrType, err == ErrAttachments, err == ErrDepth:
		return "mutant refused by us"
	case err != nil || v.JSON == nil:
		t.Errorf("%x: %s, %v\nofficially %v", v.Hex, json, err, v.JSON)
		return "mutant"
	}
	var got, want any
	gotErr := stdjson.Unmarshal(replaced.ReplaceAll(json, []byte("\ufffd")), &got)
	wantErr := stdjson.Unmarshal(replaced.ReplaceAll([]byte(*v.JSON), []byte("\ufffd")), &want)
	if gotErr != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%x: %s\nofficially %s", v.Hex, json, *v.JSON)
	}
	return "mutant accepted"
}
