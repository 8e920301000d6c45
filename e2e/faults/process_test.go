//go:build faults

package faults

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node"
)

// patience bounds every wait that does not measure.
const patience = 60 * time.Second

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// process is a program that the rig has started. Its output is in out/.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	lines   func(string) // nil: JSON objects with an event
	mu      sync.Mutex
	waiting map[string]chan map[string]string // by event
}

// option changes how a program is started.
type option func(p *process)

func withEnv(env ...string) option { return func(p *process) { p.cmd.Env = append(p.cmd.Env, env...) } }

// withLines has f called for every line of the output.
func withLines(f func(line string)) option { return func(p *process) { p.lines = f } }

// start starts a program; it is killed when the test ends.
func start(t testing.TB, name string, argv []string, options ...option) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(outDir, strings.ReplaceAll(t.Name(), "/", "-")+"-"+name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}), waiting: map[string]chan map[string]string{}}
	p.cmd.Env = os.Environ()
	for _, o := range options {
		o(p)
	}
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { // ends with the process, which the cleanup ends
		if p.lines == nil {
			p.read(io.TeeReader(out, log))
		} else {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				p.lines(lines.Text())
			}
		}
		_ = p.cmd.Wait()
		_ = log.Close()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var v map[string]string
		if json.Unmarshal(lines.Bytes(), &v) == nil && v["event"] != "" {
			p.line(v["event"]) <- v
		}
	}
}

// line is where the line with that event comes.
func (p *process) line(event string) chan map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[event] == nil {
		p.waiting[event] = make(chan map[string]string, 10)
	}
	return p.waiting[event]
}

func (p *process) await(t testing.TB, event string) map[string]string {
	t.Helper()
	select {
	case v := <-p.line(event):
		return v
	case <-p.done:
	case <-time.After(patience):
	}
	t.Fatalf("%s does not say %q; see its log in %s", p.name, event, outDir)
	return nil
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop asks the process to end and returns its exit code and how long it took.
func (p *process) stop() (code int, took time.Duration) {
	start := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(start)
}

// server is a node of the cluster.
type server struct {
	*process
	t            testing.TB
	id           string
	argv         []string
	env          []string
	url, control string
}

// serverBinary is made by TestMain.
var serverBinary string

func startServer(t testing.TB, id string, flags, wrap []string, env ...string) *server {
	t.Helper()
	if *officialFlag != "" {
		s := &server{t: t, id: id, argv: append([]string{"node", "../peers/official.mjs", "--node-id", id, "--adapter", *officialFlag}, officialFlags(flags)...)}
		s.launch("127.0.0.1:0")
		return s
	}
	argv := append([]string{}, wrap...)
	argv = append(argv, serverBinary, "-quiet", "-node-id", id, "-control", "127.0.0.1:0")
	s := &server{t: t, id: id, argv: append(argv, flags...), env: env}
	s.launch("127.0.0.1:0")
	return s
}

func (s *server) launch(listen string) {
	s.t.Helper()
	s.process = start(s.t, s.id, append(s.argv[:len(s.argv):len(s.argv)], "--listen", listen), withEnv(s.env...))
	if *officialFlag == "" {
		s.control = s.await(s.t, "control")["url"]
	}
	s.url = s.await(s.t, "listening")["url"]
}

// publisher is what the node calls itself in what it publishes.
func (s *server) publisher() string { return fmt.Sprintf("%s.%d", s.id, s.cmd.Process.Pid) }

// host is the address without the scheme.
func (s *server) host() string { return strings.TrimPrefix(s.url, "http://") }

// restart starts a node again that has ended, on its old address.
func (s *server) restart() { s.launch(s.host()) }

// report is what /stats tells.
type report struct {
	Node     node.Stats `json:"node"`
	NotReady string     `json:"notReady"`
	RSS      int        `json:"rss"`
	Now      int64      `json:"now"`
}

var controlClient = http.Client{Timeout: patience}

func (s *server) call(method, path string, v any) error {
	req, err := http.NewRequest(method, s.control+path, nil)
	if err != nil {
		return err
	}
	res, err := controlClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return json.NewDecoder(res.Body).Decode(v)
}

func (s *server) stats() (report, error) {
	var r report
	if *officialFlag != "" { // it tells nothing
		return r, s.alive()
	}
	return r, s.call("GET", "/stats", &r)
}

// alive asks a server that has no control port.
func (s *server) alive() error {
	res, err := controlClient.Get(s.url + "/readyz")
	if err == nil {
		_ = res.Body.Close()
	}
	return err
}

func (s *server) ready() bool {
	r, err := s.stats()
	return err == nil && r.NotReady == ""
}

// publish has the node send events to the rooms, or end that, and returns how many
// it has sent to each.
func (s *server) publish(rate, rooms int) ([]int, error) {
	var answer struct{ Sent []int }
	if *officialFlag != "" {
		return nil, s.alive()
	}
	return answer.Sent, s.call("POST", fmt.Sprintf("/publish?rate=%d&rooms=%d", rate, rooms), &answer)
}

// bulk has the node send large events to a room and returns how many it has sent,
// and the last error.
func (s *server) bulk(room, count, bytes, rate int) (sent int, failure string, err error) {
	var answer struct {
		Sent  int
		Error string
	}
	err = s.call("POST", fmt.Sprintf("/bulk?room=%d&count=%d&bytes=%d&rate=%d", room, count, bytes, rate), &answer)
	return answer.Sent, answer.Error, err
}

// memory is the resident memory of a process and its highest value, in bytes.
func memory(pid int) (now, top int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(data), name+":")
		f := strings.Fields(rest)
		if len(f) == 0 {
			return 0
		}
		kib, _ := strconv.Atoi(f[0])
		return kib << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// cpuTime is the processor time that a process has used.
func cpuTime(pid int) time.Duration {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}
