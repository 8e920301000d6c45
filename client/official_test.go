package client

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// officialEnv names the folder node_modules that holds the official server.
const officialEnv = "FANWIRE_NODE_MODULES"

// official starts official servers and returns their addresses.
func official(t *testing.T) map[string]string {
	t.Helper()
	modules := os.Getenv(officialEnv)
	if modules == "" {
		t.Skipf("SKIPPED: %s is not set; it names a node_modules folder with socket.io", officialEnv)
	}
	cmd := exec.Command("node", "testdata/official.mjs")
	cmd.Env = append(os.Environ(), "NODE_MODULES="+modules)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var ports map[string]int
	if err := json.Unmarshal(line, &ports); err != nil {
		t.Fatal(err)
	}
	addresses := make(map[string]string)
	for name, port := range ports {
		addresses[name] = fmt.Sprintf("http://127.0.0.1:%d", port)
	}
	return addresses
}

// TestOfficial is one test, so that it is skipped as one.
func TestOfficial(t *testing.T) {
	servers := official(t)
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			s, rec := dialPeer(t, servers[m.server], m)
			checkAll(t, s, rec, m)
			checkRetries(t, servers[m.server], m)
			checkEnds(t, s, rec, []end{
				{"close session", ReasonTransportClose}, // SIO-X-09
				{"bad packet", ReasonParseError},        // SIO-X-13
				{"cut", ReasonTransportClose},           // SIO-X-04
				{"bye", ReasonServer},                   // SIO-X-02
				{"bye all", ReasonServer},               // SIO-X-03
			})
		})
	}
	t.Run("upgrade under load", func(t *testing.T) { checkUpgrades(t, servers["text"]) })
	t.Run("recovery", func(t *testing.T) { checkRecovery(t, servers["recovery"]) })
}

// checkRecovery sees to it that the server restores the state of a connection
// that was cut (SIO-Z).
func checkRecovery(t *testing.T, address string) {
	var rec *recorder
	s, err := Dial(testContext(t), address, fast(Options{}), func(s *Socket) { rec = record(s) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := recv(t, rec.connects)
	recv(t, rec.events) // it has an offset
	s.Client().Drop()
	equal(t, recv(t, rec.disconnects).Reason, ReasonForcedClose)
	equal(t, recv(t, rec.connects), id)
	equal(t, s.Recovered(), true)
}
