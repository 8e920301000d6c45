package emitcmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
)

func TestArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "photo")
	if err := os.WriteFile(file, []byte{0, 1, 255}, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args  []string
		stdin string
		want  []any
	}{
		{nil, "", []any{}},
		{[]string{`{"a":[1]}`, ` 5 `, `"x"`, `null`}, "", []any{json.RawMessage(`{"a":[1]}`), json.RawMessage(` 5 `), json.RawMessage(`"x"`), json.RawMessage(`null`)}},
		{[]string{"=", "=text", "=@no file", "=-"}, "", []any{"", "text", "@no file", "-"}},
		{[]string{"@" + file, "1"}, "", []any{[]byte{0, 1, 255}, json.RawMessage(`1`)}},
		{[]string{"1", "@-"}, "\x00bin", []any{json.RawMessage(`1`), []byte("\x00bin")}},
		{[]string{"-"}, "[1,\n2]\n", []any{json.RawMessage("[1,\n2]\n")}},
	} {
		list, err := parseArguments(tt.args)
		if err != nil {
			t.Fatal(err)
		}
		got, err := list.load(strings.NewReader(tt.stdin))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %q, %v", tt.args, got, err)
		}
	}
}

func TestLargeFile(t *testing.T) {
	list, err := parseArguments([]string{"@-"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list.load(bytes.NewReader(make([]byte, maxFile+1))); err == nil {
		t.Error("no error")
	}
}

// TestSecrets: passwords come from the environment or a file, never from a flag,
// and are never shown (HRD-84).
func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, address, password string
		c                       Command
		wantAddr                string
		wantPassword            string
	}{
		{"default", "", "", Command{}, defaultAddress, ""},
		{"flag", "redis://:secret@elsewhere:1", "", Command{Redis: "here:2"}, "here:2", ""},
		{"URL", "redis://:secret@elsewhere:1", "", Command{}, "elsewhere:1", "secret"},
		{"variable", "elsewhere:1", "secret", Command{}, "elsewhere:1", "secret"},
		{"file", "elsewhere:1", "not this", Command{RedisPasswordFile: file}, "elsewhere:1", "of the file"},
		{"flag and variable", "", "secret", Command{Redis: "rediss://me@here:2"}, "here:2", "secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(addressVariable, tt.address)
			t.Setenv(passwordVariable, tt.password)
			client, err := tt.c.connect()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if o := client.(*goredis.Client).Options(); o.Addr != tt.wantAddr || o.Password != tt.wantPassword {
				t.Errorf("got %s, password %q", o.Addr, o.Password)
			}
		})
	}
	for _, address := range []string{"redis://:secret@host:port", "redis://:secret@%zz", "secret://:secret@host:1", "redis://:secret@host:1/x", "redis://:sec\x01ret@host"} {
		t.Setenv(addressVariable, address)
		if _, err := new(Command).connect(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
	t.Setenv(addressVariable, "redis://127.0.0.1:1")
	client, err := (&Command{RedisCluster: true}).connect()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, ok := client.(*goredis.ClusterClient); !ok {
		t.Errorf("got %T", client)
	}
}

// TestRun runs commands against a Redis; what they publish is the emitter's matter.
func TestRun(t *testing.T) {
	server := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer client.Close()
	for _, tt := range []struct {
		c       Command
		channel string
		says    string
	}{
		{Command{Event: "e", Args: []string{"1", "=x"}}, "socket.io#/#", "sent \"e\", arguments: 2, to all clients of /\n"},
		{Command{Event: "e", Namespace: "chat", Room: []string{"a,b"}, Except: []string{"c"}}, "socket.io#/chat#a,b#", "sent \"e\", arguments: 0, to the clients in \"a,b\" but not in \"c\" of /chat\n"},
		{Command{Event: "e", Key: "app", Volatile: true, Room: []string{"a", "b"}}, "app#/#", "sent \"e\", arguments: 0, to the clients in \"a\", \"b\" of /\n"},
		{Command{Event: "e", Server: true}, "socket.io-request#/#", "sent \"e\", arguments: 0, to the servers of /\n"},
		{Command{Join: []string{"x", "y"}}, "socket.io-request#/#", "told to join \"x\", \"y\": all clients of /\n"},
		{Command{Leave: []string{"x"}, Room: []string{"a"}}, "socket.io-request#/#", "told to leave \"x\": the clients in \"a\" of /\n"},
		{Command{Disconnect: true, All: true}, "socket.io-request#/#", "told to disconnect: all clients of /\n"},
	} {
		t.Run(tt.says, func(t *testing.T) {
			sub := client.Subscribe(t.Context(), tt.channel)
			defer sub.Close()
			if _, err := sub.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			c := tt.c
			c.Redis, c.Timeout, c.Compress, c.Verbose = server.Addr(), 5*time.Second, true, true
			var out strings.Builder
			if err := c.Run(t.Context(), strings.NewReader(""), &out); err != nil || out.String() != tt.says {
				t.Errorf("says %q, %v", out.String(), err)
			}
			if m, err := sub.ReceiveTimeout(t.Context(), 10*time.Second); err != nil {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
}
