package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem says what is wrong with a command, and where.
type Problem struct {
	Path    string `json:"path"` // as in "commands[2].event"
	Message string `json:"message"`
}

// String is "path: message".
func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// Under puts a path before those of problems: "commands[2]" makes "event" to
// "commands[2].event".
func Under(path string, problems []Problem) []Problem {
	for i, p := range problems {
		switch {
		case p.Path == "":
			problems[i].Path = path
		case p.Path[0] == '[':
			problems[i].Path = path + p.Path
		default:
			problems[i].Path = path + "." + p.Path
		}
	}
	return problems
}

// InvalidError is what is wrong with a command.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	text := "command: not valid"
	for i, p := range e.Problems {
		if i == 5 {
			return fmt.Sprintf("%s; and %d more", text, len(e.Problems)-i)
		}
		text += "; " + p.String()
	}
	return text
}

// Limits bound what a command may hold. Zero means the default, negative no limit.
type Limits struct {
	// Self tells that a command without a target means a client, as in the answer of
	// a webhook. Without it a target is required.
	Self bool

	Rooms       int // names in each list of rooms, 1000
	RoomName    int // bytes of the name of a room (HRD-43), 256
	Args        int // bytes of the arguments (HRD-68), 1 MiB
	Attachments int // binary values among the arguments (HRD-41), 10
	Data        int // bytes of data, 64 KiB
}

const (
	maxEventName = 256 // HRD-43
	maxNamespace = 256
)

func (l Limits) withDefaults() Limits {
	set := func(n *int, value int) {
		switch {
		case *n == 0:
			*n = value
		case *n < 0:
			*n = math.MaxInt
		}
	}
	set(&l.Rooms, 1000)
	set(&l.RoomName, 256)
	set(&l.Args, 1<<20)
	set(&l.Attachments, 10)
	set(&l.Data, 64<<10)
	return l
}

// Validate returns all that is wrong with the command, nil if nothing is. What is
// ambiguous is wrong: two targets, or none where there is no client; a field that
// means nothing for the kind.
func (c *Command) Validate(l Limits) []Problem {
	if !slices.Contains(Kinds(), c.Kind) {
		return []Problem{{"type", "must be emit, join, leave, disconnect, set_data or server_emit"}}
	}
	v := validator{limits: l.withDefaults()}
	if c.Namespace != "" {
		v.namespace(c.Namespace)
	}
	v.target(c)
	v.misplaced(c)
	switch c.Kind {
	case Emit, ServerEmit:
		v.event(c)
	case Join, Leave:
		if len(c.Rooms) == 0 {
			v.add("rooms", "required")
		}
		v.rooms("rooms", c.Rooms)
	case SetData:
		v.data(c.Data)
	}
	return v.problems
}

type validator struct {
	limits   Limits
	problems []Problem
}

func (v *validator) add(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (v *validator) namespace(name string) {
	switch {
	case name[0] != '/':
		v.add("namespace", "must begin with /")
	case len(name) > maxNamespace:
		v.add("namespace", "longer than %d bytes", maxNamespace)
	case strings.ContainsAny(name, ",\x00") || !utf8.ValidString(name):
		v.add("namespace", "no client could ask for it")
	}
}

func (v *validator) target(c *Command) {
	if c.Kind == ServerEmit {
		return
	}
	switch {
	case c.All && len(c.To) > 0:
		v.add("all", "excludes to")
	case c.Targeted():
	case !v.limits.Self:
		v.add("to", "required, or all")
	case len(c.Except) > 0:
		v.add("except", "needs to or all")
	case c.Local:
		v.add("local", "needs to or all")
	}
	v.rooms("to", c.To)
	v.rooms("except", c.Except)
}

func (v *validator) rooms(path string, names []string) {
	if len(names) > v.limits.Rooms {
		v.add(path, "more than %d rooms", v.limits.Rooms)
		return
	}
	for i, name := range names {
		if message := roomProblem(name, v.limits.RoomName); message != "" {
			v.add(fmt.Sprintf("%s[%d]", path, i), "%s", message)
		}
	}
}

// CheckRooms returns what is wrong with a list of rooms, under the path.
func CheckRooms(path string, names []string, l Limits) []Problem {
	v := validator{limits: l.withDefaults()}
	v.rooms(path, names)
	return v.problems
}

func roomProblem(name string, limit int) string {
	switch {
	case name == "":
		return "empty"
	case len(name) > limit:
		return fmt.Sprintf("longer than %d bytes", limit)
	case strings.IndexByte(name, 0) >= 0 || !utf8.ValidString(name):
		return "not text"
	}
	return ""
}

// misplaced finds what belongs to other kinds. It is no caprice: {"type": "emit",
// "rooms": [...]} was meant for some rooms and must not reach others.
func (v *validator) misplaced(c *Command) {
	not := func(path string, given bool, kinds ...Kind) {
		if given && !slices.Contains(kinds, c.Kind) {
			v.add(path, "means nothing for %s", c.Kind)
		}
	}
	targets := []Kind{Emit, Join, Leave, Disconnect, SetData}
	not("to", len(c.To) > 0, targets...)
	not("all", c.All, targets...)
	not("except", len(c.Except) > 0, targets...)
	not("local", c.Local, targets...)
	not("event", c.Event != "", Emit, ServerEmit)
	not("args", c.Args.JSON() != nil, Emit, ServerEmit)
	not("volatile", c.Volatile, Emit)
	not("compress", c.Compress != nil, Emit)
	not("rooms", len(c.Rooms) > 0, Join, Leave)
	not("close", c.Close, Disconnect)
	not("data", c.Data != nil, SetData)
}

// Names that clients, or servers, take for something else (SIO-D-07, SIO-K-14).
var (
	reserved       = []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
	reservedServer = []string{"connect", "connection", "new_namespace"}
)

// ownPrefix begins the names of events that gateway nodes send each other.
const ownPrefix = "fanwire:"

func (v *validator) event(c *Command) {
	names := reserved
	if c.Kind == ServerEmit {
		names = reservedServer
	}
	switch name := c.Event; {
	case name == "":
		v.add("event", "required")
	case len(name) > maxEventName:
		v.add("event", "longer than %d bytes", maxEventName)
	case strings.IndexByte(name, 0) >= 0 || !utf8.ValidString(name):
		v.add("event", "not text")
	case slices.Contains(names, name), c.Kind == ServerEmit && strings.HasPrefix(name, ownPrefix):
		v.add("event", "%q has a meaning of its own", name)
	}
	v.args("args", c.Args)
}

func (v *validator) args(path string, a Args) {
	if n := len(a.Attachments()); n > v.limits.Attachments {
		v.add(path, "more than %d binary values", v.limits.Attachments)
	}
	if a.Size() > v.limits.Args {
		v.add(path, "larger than %d bytes", v.limits.Args)
	}
}

// CheckArgs returns what is wrong with arguments that are no command's, under the
// path.
func CheckArgs(path string, a Args, l Limits) []Problem {
	v := validator{limits: l.withDefaults()}
	v.args(path, a)
	return v.problems
}

func (v *validator) data(data json.RawMessage) {
	switch {
	case data == nil:
		v.add("data", "required; null takes it away")
	case len(data) > v.limits.Data:
		v.add("data", "larger than %d bytes", v.limits.Data)
	case CheckJSON(data) != nil:
		v.add("data", "not JSON, or nested too deeply")
	}
}

// Parse reads a command from a JSON object. The problems are those of JSON alone:
// the rest is [Command.Validate]. Members that it does not know are ignored. It
// keeps nothing of raw.
func Parse(raw []byte) (Command, []Problem) {
	if err := CheckJSON(raw); err != nil {
		return Command{}, []Problem{{"", plainError(err)}}
	}
	return parse(raw)
}

// parse reads what CheckJSON has looked at.
func parse(raw []byte) (Command, []Problem) {
	type shape Command // without its methods
	var w struct {
		shape
		Args json.RawMessage `json:"args"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return Command{}, []Problem{TypeProblem(err)}
	}
	c := Command(w.shape)
	if w.Args != nil {
		var err error
		if c.Args, err = ParseArgs(w.Args); err != nil {
			return c, []Problem{{"args", plainError(err)}}
		}
	}
	return c, nil
}

// ParseList reads an array of commands, at most as many as max. The paths of
// problems begin with the place in it, as in "[2].event".
func ParseList(raw []byte, max int) ([]Command, []Problem) {
	if err := CheckJSON(raw); err != nil {
		return nil, []Problem{{"", plainError(err)}}
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, []Problem{TypeProblem(err)}
	}
	if len(list) > max {
		return nil, []Problem{{"", fmt.Sprintf("more than %d commands", max)}}
	}
	commands := make([]Command, len(list))
	var problems []Problem
	for i, raw := range list {
		c, ps := parse(raw)
		commands[i] = c
		problems = append(problems, Under(fmt.Sprintf("[%d]", i), ps)...)
	}
	return commands, problems
}

// TypeProblem is the problem in an error of encoding/json, without the values that
// it was about.
func TypeProblem(err error) Problem {
	var typed *json.UnmarshalTypeError
	if !errors.As(err, &typed) {
		return Problem{"", plainError(err)}
	}
	path := strings.TrimPrefix(typed.Field, "shape.")
	kind, _, _ := strings.Cut(typed.Value, " ") // "number 1e999"
	return Problem{path, "must not be a JSON " + kind}
}

// plainError is an error's text without the name of a package.
func plainError(err error) string {
	return strings.TrimPrefix(err.Error(), "node: raw arguments: ")
}
