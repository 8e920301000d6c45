package gateway

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// The pages, and the sockets that they talk to on their own origin.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("the page"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, testConfig(func(c *config.Config) {
		c.Console.Enabled = true
		c.SocketIO.Path = "/rt" // without a slash at its end
		c.AdminUI.Enabled, c.AdminUI.Dir = true, dir
		c.AdminUI.PasswordHash = config.NewSecret("$2a$04$/069XxyJqkhqQ3mxNrWT1O/lS7n3i4ZfeKGfTbv4Wn0KkL0yUnrmi")
	}))
	for path, want := range map[string]string{
		"/admin-ui/":                   "the page",
		"/console/":                    "Fanwire console",
		"/":                            "/console/",
		"/rt/?EIO=4&transport=polling": `0{"sid":`,
	} {
		if status, body := get(t, g.url("admin")+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.100s", path, status, body)
		}
	}
}

// The namespace of the Admin UI is at the admin listener, and at the port of clients
// if the configuration says so (HRD-86).
func TestWhereAdminsLogIn(t *testing.T) {
	for _, public := range []bool{false, true} {
		g := start(t, testConfig(func(c *config.Config) {
			c.AdminUI.Enabled, c.AdminUI.Public = true, public
			c.AdminUI.PasswordHash = config.NewSecret("$2a$04$/069XxyJqkhqQ3mxNrWT1O/lS7n3i4ZfeKGfTbv4Wn0KkL0yUnrmi")
		}))
		for _, mode := range []string{client.Polling, client.WebSocket} {
			for _, role := range []string{"admin", clientsRole} {
				heard := make(chan string, 10)
				auth := client.Options{Transports: []string{mode}, Auth: map[string]string{"username": "admin", "password": "correct horse"}}
				_, err := g.tryDial(role, "/admin", auth, func(s *client.Socket) {
					client.On(s, "config", func(_ context.Context, a client.Args) { heard <- string(a.JSON()) })
				})
				if role == clientsRole && !public {
					var refused *client.ConnectError
					if !errors.As(err, &refused) || refused.Message != "Invalid namespace" {
						t.Errorf("%s at the port of clients: %v", mode, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s at %s, public %v: %v", mode, role, public, err)
				}
				if got := next(t, heard); !strings.Contains(got, "ALL_EVENTS") {
					t.Error(got)
				}
			}
		}
	}
}

func TestPagesOff(t *testing.T) {
	g := start(t, testConfig())
	for _, path := range []string{"/admin-ui/", "/console/", "/socket.io/?EIO=4&transport=polling"} {
		if status, _ := get(t, g.url("admin")+path); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestAdminUIWithoutPassword(t *testing.T) {
	cfg := testConfig(func(c *config.Config) { c.AdminUI.Enabled = true })
	_, err := New(cfg, Options{Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "admin_ui.password_hash: missing") {
		t.Error(err)
	}
}
