package config

import (
	"strings"
	"testing"
)

// Whatever is wrong is told at once, with path and line.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load(t, `
redis:
  mode: flat
  adress: x
  database: many
  mode: single
limits: [1]
namespaces:
- name: chat
  join: ["{event}", "{user}"]
  routes:
  - events: [say]
  - {events: [], relay: {}, ignore: true}
  - {events: [x], webhook: chta}
-
webhooks:
  chat: {url: "ftp://x", secret: short, timeout: 5}
socketio: {ping_interval: 1ms, transports: [polling, polling, pigeon], path: {}}
drain: {timeout: 1s}
`)
	want := `gateway.yaml:3: redis.mode: must be single, sentinel or cluster, and is "flat"
gateway.yaml:4: redis.adress: unknown
gateway.yaml:5: redis.database: must be a whole number, and is "many"
gateway.yaml:6: redis.mode: is here a second time; the first is in line 3
gateway.yaml:7: limits: must be a mapping, and is a list
gateway.yaml:9: namespaces[0].name: "chat" does not begin with a slash
gateway.yaml:10: namespaces[0].join[0]: has {event}: there is no event yet
gateway.yaml:10: namespaces[0].join[1]: has {user}: nobody has a name with the auth anonymous alone
gateway.yaml:12: namespaces[0].routes[0]: does nothing: one of relay, webhook, stream, join, leave and ignore must be set
gateway.yaml:13: namespaces[0].routes[1].events: must have one at least
gateway.yaml:13: namespaces[0].routes[1]: must do one thing, and has relay and ignore
gateway.yaml:14: namespaces[0].routes[2].webhook: there is no webhook "chta"; did you mean chat?
gateway.yaml:15: namespaces[1]: is empty
gateway.yaml:17: webhooks.chat.timeout: must be a duration with a unit, as in 500ms, 25s or 1m30s, and is "5"
gateway.yaml:17: webhooks.chat.url: must be a URL that begins with https or http:// and has a host
gateway.yaml:17: webhooks.chat.secret: must have 24 bytes at least
gateway.yaml:18: socketio.path: must be a text, and is a mapping
gateway.yaml:18: socketio.ping_interval: must be from 1s to 24h, and is 1ms
gateway.yaml:18: socketio.transports[1]: is here a second time
gateway.yaml:18: socketio.transports[2]: must be polling or websocket, and is "pigeon"
gateway.yaml:19: drain.timeout: must be as long as delay and spread together, 25s
`
	got := problems(t, err)
	for _, line := range strings.Split(got, "\n") {
		if !strings.Contains(want, line) {
			t.Errorf("too much: %s", line)
		}
	}
	for _, line := range strings.Split(want, "\n") {
		if !strings.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
}
