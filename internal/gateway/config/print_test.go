package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The file of defaults is one that Load takes, names every setting, and changes nothing.
func TestWriteDefaults(t *testing.T) {
	var b strings.Builder
	if err := WriteDefaults(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if changes := Diff(Defaults(), c); len(changes) > 0 {
		t.Errorf("the defaults differ: %v", changes)
	}
	for _, s := range Settings() {
		name := s.Path[strings.LastIndexByte(s.Path, '.')+1:]
		if !regexp.MustCompile(`(?m)^[# -]*` + name + `:`).MatchString(text) {
			t.Errorf("%s is not there", s.Path)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 100 {
			t.Errorf("long line: %s", line)
		}
	}
}

// What stands in comments is YAML once the comment signs are gone.
func TestWriteDefaultsSamples(t *testing.T) {
	var b strings.Builder
	if err := WriteDefaults(&b); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(b.String(), "\nnamespaces: []\n")
	text, _, _ = strings.Cut(text, "\n\n")
	text = "namespaces:\n" + regexp.MustCompile(`(?m)^# `).ReplaceAllString(text, "")
	_, err := load(t, text)
	if got := problems(t, err); got != "gateway.yaml:4: namespaces[0].name: \"\" does not begin with a slash\n" {
		t.Errorf("%s\n%s", got, text)
	}
}

// What is printed is what was loaded, but for secrets, with where it comes from.
func TestWrite(t *testing.T) {
	file := write(t, "c.yaml", everything)
	c := mustLoad(t, Sources{File: file, Environ: []string{"FANWIRE_NODE_ID=n1", "FANWIRE_SOCKETIO_COOKIE=on", "FANWIRE_REDIS_PASSWORD=" + secretText}})
	var b strings.Builder
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"\nnamespaces:  # " + file + ":10\n",
		"  id: n1  # FANWIRE_NODE_ID\n",
		"  password: \"***\"  # FANWIRE_REDIS_PASSWORD\n",
		"    secret: \"***\"  # " + file + ":28\n",
		"  stream_length: 5  # " + file + ":6\n",
		"  prefix: socket.io\n",
		"  cookie: \"on\"  # FANWIRE_SOCKETIO_COOKIE\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in what is printed", want)
		}
	}
	for _, secret := range []string{secretText, "hunter2", "whsec_", "0123456789abcdef"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	masked := strings.NewReplacer(`secret: "***"`, "secret: "+secretText, `key: "***"`, "key: "+secretText, `password: "***"`, "password: "+secretText).Replace(text)
	again, err := load(t, masked)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Namespaces, c.Namespaces) || again.Redis.StreamLength != 5 || again.Webhooks["chat"].Timeout != c.Webhooks["chat"].Timeout {
		t.Errorf("printed and loaded again: %v", Diff(c, again))
	}
}

// docs/configuration.md is up to date.
func TestDocs(t *testing.T) {
	var b strings.Builder
	if err := WriteDocs(&b); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil || string(page) != b.String() {
		t.Errorf("docs/configuration.md is not what the source says, %v: go run . config docs > docs/configuration.md", err)
	}
	for _, s := range Settings() {
		if !strings.Contains(b.String(), "`"+s.Path+"`") && !strings.Contains(b.String(), "## "+s.Path+"\n") {
			t.Errorf("%s is not in it", s.Path)
		}
	}
}

// The example is valid, without a warning but that its secrets are for everybody.
func TestExample(t *testing.T) {
	c := mustLoad(t, Sources{
		File: "../../../docs/examples/gateway.yaml",
		Warn: func(p Problem) {
			if p.Path != "" {
				t.Error(p)
			}
		},
		Environ: []string{"FANWIRE_AUTH_JWT_SECRET=" + secretText},
	})
	if len(c.Namespaces) == 0 || len(c.Webhooks) == 0 || len(c.Namespaces[0].Routes) < 3 {
		t.Errorf("%+v", c)
	}
}
