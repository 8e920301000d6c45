//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// startTimeout bounds the start of a server and the answer to a command.
const startTimeout = 30 * time.Second

// process is a server under test, or one that it needs. A server prints
// {"listening":PORT} and answers commands on its standard input with one line
// of JSON each; it ends with its input.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
	port  int
}

// start runs argv on the CPUs in list (taskset's form); "" pins nothing.
func start(name, list string, argv ...string) (*process, error) {
	if list != "" {
		argv = append([]string{"taskset", "-c", list}, argv...)
	}
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), lines: make(chan string, 16)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go p.read(out) // ends with the process; stop waits for it
	return p, nil
}

func (p *process) read(out io.Reader) {
	defer close(p.lines)
	s := bufio.NewScanner(out)
	for s.Scan() {
		p.lines <- s.Text()
	}
}

// startServer starts a server and waits until it listens.
func startServer(name, list string, argv ...string) (*process, error) {
	p, err := start(name, list, argv...)
	if err != nil {
		return nil, err
	}
	var hello struct {
		Listening int `json:"listening"`
	}
	if err := p.answer(&hello); err != nil || hello.Listening == 0 {
		p.stop()
		return nil, fmt.Errorf("%s did not start: %w", name, err)
	}
	p.port = hello.Listening
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// command sends one line and decodes the answer into v.
func (p *process) command(line string, v any) error {
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return fmt.Errorf("%s: %s: %w", p.name, line, err)
	}
	if err := p.answer(v); err != nil {
		return fmt.Errorf("%s: %s: %w", p.name, line, err)
	}
	return nil
}

func (p *process) answer(v any) error {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return errors.New("process ended")
		}
		return json.Unmarshal([]byte(line), v)
	case <-time.After(startTimeout):
		return errors.New("no answer")
	}
}

// memory is what a server says it has in use, in bytes; all zero for servers
// that do not tell.
type memory struct{ Heap, Objects, Stack, Runtime float64 }

// collect asks for a garbage collection.
func (p *process) collect() (memory, error) {
	var m memory
	return m, p.command("gc", &m)
}

// stop ends the process and waits for it. It is given a moment to end by
// itself.
func (p *process) stop() {
	_ = p.stdin.Close()
	killer := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer killer.Stop()
	for range p.lines { // until its output ends
	}
	_ = p.cmd.Wait()
}

// startRedis runs a redis-server without persistence on a free port.
func startRedis() (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := start("redis-server", "", "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--loglevel", "warning", "--daemonize", "no")
	if err != nil {
		return nil, err
	}
	p.port = port
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", p.redisAddress()); err == nil {
			return p, c.Close()
		}
	}
	p.kill()
	return nil, errors.New("redis-server did not start")
}

func (p *process) redisAddress() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// kill ends a process that does not watch its input.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.stop()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
