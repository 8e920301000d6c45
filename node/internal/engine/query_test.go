package engine

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// queries are those of HRD-11 and of row B08.
var queries = []struct {
	name, raw string
	want      query
	bad       bool
}{
	{name: "empty"},
	{name: "polling", raw: "EIO=4&transport=polling&t=abc", want: query{version: "4", transport: "polling"}},
	{name: "with everything", raw: "EIO=3&transport=polling&sid=x.y&b64=1&j=0", want: query{version: "3", transport: "polling", sid: "x.y", base64: true, jsonp: true}},
	{name: "escapes", raw: "sid=a%2Eb+c&EIO=%34", want: query{sid: "a.b c", version: "4"}},
	{name: "repeated: the first", raw: "EIO=4&EIO=3&sid=a&sid=b&transport=&transport=polling", want: query{version: "4", sid: "a"}},
	{name: "repeated: the first, though empty", raw: "b64&b64=1&sid&sid=a"},
	{name: "no name, no value, nothing", raw: "&&=x&=&EIO&&"},
	{name: "two equals signs", raw: "sid=a=b&EIO==4", want: query{sid: "a=b", version: "=4"}},
	{name: "another case", raw: "eio=4&Sid=a&TRANSPORT=polling&J=1"},
	{name: "prototype", raw: "sid=__proto__&transport=constructor", want: query{sid: "__proto__", transport: "constructor"}},
	{name: "NUL", raw: "sid=%00", want: query{sid: "\x00"}},
	{name: "bad escape", raw: "%zz", bad: true},
	{name: "bad escape in a value", raw: "EIO=4&sid=%zz", bad: true},
	{name: "bad escape in what nobody reads", raw: "EIO=4&t=%f", bad: true},
	{name: "bad escape behind a repeated name", raw: "sid=a&sid=%", bad: true},
	{name: "escape across pairs", raw: "sid=%4&1=b", bad: true},
	{name: "not UTF-8", raw: "EIO=4&a=%ff%fe&sid=%ff%fe", want: query{version: "4", sid: "\xff\xfe"}},
	{name: "60,000 a", raw: "EIO=4&" + strings.Repeat("a", 60_000), want: query{version: "4"}},
	{name: "60,000 a as sid", raw: "sid=" + strings.Repeat("a", 60_000), want: query{sid: strings.Repeat("a", 60_000)}},
	{name: "semicolons", raw: "EIO=4;transport=polling;sid=a", want: query{version: "4;transport=polling;sid=a"}},
	{name: "objects", raw: "EIO=4&t[]=1&__proto__[x]=1&sid[]=a", want: query{version: "4"}},
	{name: "2,000 names", raw: manyNames(2000) + "EIO=4", want: query{version: "4"}},
	{name: "JSONP", raw: "EIO=4&j=1);alert(1)//", want: query{version: "4", jsonp: true}},
	{name: "JSONP without a value", raw: "j", want: query{jsonp: true}},
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "n%d=&", i)
	}
	return b.String()
}

func TestQuery(t *testing.T) {
	for _, tt := range queries {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseQuery(tt.raw)
			if (err != nil) != tt.bad || !tt.bad && got != tt.want {
				t.Errorf("got %+.100v, %v\nwant %+.100v, bad: %v", got, err, tt.want, tt.bad)
			}
			checkQuery(t, tt.raw)
		})
	}
}

// checkQuery compares with net/url: a query is refused for its escapes and for
// nothing else, and if the library takes it, its first values are ours.
func checkQuery(t *testing.T, raw string) {
	t.Helper()
	got, err := parseQuery(raw)
	if _, want := url.QueryUnescape(raw); (err != nil) != (want != nil) {
		t.Fatalf("%.200q: error %v, net/url says %v", raw, err, want)
	}
	values, refused := url.ParseQuery(plainNames(raw))
	if err != nil || refused != nil {
		return
	}
	want := query{
		transport: values.Get("transport"),
		sid:       values.Get("sid"),
		version:   values.Get("EIO"),
		base64:    values.Get("b64") != "",
		jsonp:     values.Has("j"),
	}
	if got != want {
		t.Fatalf("%.200q\ngot  %+.200v\nwant %+.200v", raw, got, want)
	}
}

// plainNames leaves out the pairs with an escape in their name: it counts as it
// stands, as balancers read it.
func plainNames(raw string) string {
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		if name, _, _ := strings.Cut(pair, "="); !strings.Contains(name, "%") {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "&")
}

func FuzzQuery(f *testing.F) {
	for _, tt := range queries {
		f.Add(tt.raw)
	}
	f.Add("s%69d=a&sid=b&%6A=1")
	f.Fuzz(checkQuery)
}
