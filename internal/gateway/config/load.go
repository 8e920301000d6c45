package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Sources is where a configuration comes from.
type Sources struct {
	// File is the path of a YAML file; empty: none.
	File string
	// Environ is the environment, as from os.Environ. An empty variable counts as not
	// set.
	Environ []string
	// Flags are the texts of each flag, by the path of its setting. The lists of a flag
	// that was given more than once are joined; otherwise the last one counts.
	Flags map[string][]string
	// Warn, if not nil, hears of what is allowed and hardly meant: a secret in a file
	// that everybody can read, a webhook that nobody uses. It is called before Load
	// returns.
	Warn func(Problem)
}

// Origin says where a setting was set.
type Origin struct {
	Source string // file, variable or flag
	Line   int    // in the file, or 0
}

// Load reads the sources, later ones over earlier ones: defaults, file, environment,
// flags. A list, a map or a structure is taken whole from the last source that has it.
// Its error is [Problems] with everything that is wrong. It reads files: the named one,
// those with secrets, and to check them certificates and keys.
func Load(s Sources) (*Config, error) {
	l := read(s)
	if l.emit && len(l.cfg.Redis.Addresses) == 0 && l.warn != nil {
		l.warn(Problem{Source: emitVariable, Message: "is for fanwire emit; a node reads " + emitVariable + "_ADDRESSES"})
	}
	if !l.unreadable {
		l.validate()
	}
	if err := l.problems.err(); err != nil {
		return nil, err
	}
	return l.cfg, nil
}

// Peek reads the sources as Load does and returns what could be read, also when
// something is wrong: its error tells what could not be read, and there is the default
// in its place. What is against the rules of a setting is no error here. It is for those
// who ask a running node something, whose files may have changed since it read them.
func Peek(s Sources) (*Config, error) {
	l := read(s)
	return l.cfg, l.problems.err()
}

// read is one run over the sources, without looking at the whole.
func read(s Sources) *loader {
	l := newLoader(s.Warn)
	if s.File != "" {
		l.file(s.File)
	}
	l.environ(s.Environ)
	l.flags(s.Flags)
	return l
}

// loader is one run of Load.
type loader struct {
	cfg        *Config
	problems   Problems
	origins    map[string]Origin // by path
	unread     map[string]bool   // by path: settings that are wrong and not taken
	unreadable bool              // a source has told nothing: what is missing may be in there
	plain      bool              // a secret stands in the file itself
	emit       bool              // there is the variable of fanwire emit
	warn       func(Problem)
}

func newLoader(warn func(Problem)) *loader {
	l := &loader{cfg: Defaults(), origins: make(map[string]Origin), unread: make(map[string]bool), warn: warn}
	l.cfg.origins = l.origins
	return l
}

// problem reports a setting that is not taken.
func (l *loader) problem(p Problem) {
	l.unread[p.Path] = true
	l.add(p)
}

// maxProblems bounds what is looked for: suggestions cost time.
const maxProblems = 1000

func (l *loader) add(p Problem) {
	if len(l.problems) < maxProblems {
		l.problems = append(l.problems, p)
	}
}

// validate adds what is wrong with the whole, but for settings that could not be read:
// there is a default or nothing in their place.
func (l *loader) validate() {
	problems, warnings := check(l.cfg)
	for _, p := range problems {
		if !slices.ContainsFunc(prefixes(p.Path), func(path string) bool { return l.unread[path] }) {
			l.add(p)
		}
	}
	if l.warn != nil {
		for _, w := range warnings {
			l.warn(w)
		}
	}
}

// prefixes returns path and the paths that it is in, longest first.
func prefixes(path string) []string {
	all := []string{path}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			all = append(all, path[:i])
		}
	}
	return all
}

func (l *loader) file(name string) {
	data, err := readFile(name, maxFile)
	if err != nil {
		l.unreadable = true
		l.problem(Problem{Source: name, Message: err.Error()})
		return
	}
	l.yaml(data, reflect.ValueOf(l.cfg).Elem(), "", name)
	if l.plain && l.warn != nil && isPublic(name) {
		l.warn(Problem{Source: name, Message: "has secrets in it, and everybody on this machine can read it"})
	}
}

// isPublic tells whether everybody can read a file.
func isPublic(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}

// yaml decodes a text into a part of the structure.
func (l *loader) yaml(data []byte, v reflect.Value, path, source string) {
	root, line, message := parseYAML(data)
	if message != "" {
		l.unreadable = true
		l.problem(Problem{Path: path, Source: source, Line: line, Message: message})
	}
	if root == nil || isNull(root) {
		return
	}
	d := decoder{l: l, source: source}
	d.value(root, v, path, 0)
	l.unreadable = l.unreadable || d.full
}

// readFile reads a file of at most limit bytes. Its errors do not name it.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a directory")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, reason(err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("is longer than %d bytes", limit)
	}
	return data, nil
}

// reason takes the name of the file out of an error.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// maxSecret bounds the file of a secret.
const maxSecret = 16 << 10

// secretFile reads a secret from a file, without the newline at its end.
func (l *loader) secretFile(v reflect.Value, name, path, source string, line int) {
	at := Problem{Path: path, Source: source, Line: line}
	data, err := readFile(name, maxSecret)
	if err == nil {
		text := strings.TrimRight(string(data), "\r\n")
		if text == "" {
			err = errors.New("is empty")
		} else if message := setText(v, text); message != "" {
			err = errors.New(message)
		}
	}
	if err != nil {
		at.Message = fmt.Sprintf("file %s: %v", quote(name), err)
		l.problem(at)
		return
	}
	if l.warn != nil && isPublic(name) {
		at.Message = fmt.Sprintf("file %s: everybody on this machine can read it", quote(name))
		l.warn(at)
	}
}

// environ takes the variables that begin with FANWIRE_.
func (l *loader) environ(environ []string) {
	values := make(map[string]string)
	for _, v := range environ {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, prefix) && value != "" {
			values[name] = value
		}
	}
	var names []string
	for _, s := range allSettings() {
		if s.Variable == "" {
			continue
		}
		names = append(names, s.Variable)
		value, ok := values[s.Variable]
		delete(values, s.Variable)
		if s.Kind == Hidden {
			names = append(names, s.Variable+"_FILE")
			file, isFile := values[s.Variable+"_FILE"]
			delete(values, s.Variable+"_FILE")
			if isFile {
				l.origins[s.Path] = Origin{Source: s.Variable + "_FILE"}
				l.secretFile(l.field(s), file, s.Path, s.Variable+"_FILE", 0)
				if ok {
					l.problem(Problem{Path: s.Path, Source: s.Variable, Message: "is set together with " + s.Variable + "_FILE"})
				}
				continue
			}
		}
		if ok {
			l.text(s, value, s.Variable)
		}
	}
	if l.emit = values[emitVariable] != ""; l.emit {
		delete(values, emitVariable)
	}
	for name, value := range values {
		switch {
		case name == fileVariable, ofTests.MatchString(name), isServiceLink(name, value):
		default:
			l.problem(Problem{Source: name, Message: "unknown variable" + suggest(name, names)})
		}
	}
}

// Variables that are no settings.
const (
	fileVariable = prefix + "CONFIG" // of the command line
	emitVariable = prefix + "REDIS"  // of fanwire emit
)

// ofTests are variables of this repository's tests and rigs.
var ofTests = regexp.MustCompile(`^FANWIRE_(TEST_.*|FAULTS_.*|FULL|NODE_MODULES|REQUIRE_ALL)$`)

var serviceLink = regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$|_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$`)

// isServiceLink tells whether Kubernetes has set a variable: it does for each service
// of the namespace, one called fanwire or fanwire-admin for instance.
func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// flags takes the flags.
func (l *loader) flags(flags map[string][]string) {
	left := make(map[string]bool, len(flags))
	for path := range flags {
		left[path] = true
	}
	for _, s := range allSettings() {
		texts := flags[s.Path]
		if len(texts) == 0 || s.Variable == "" {
			continue
		}
		delete(left, s.Path)
		switch source := "--" + s.Path; {
		case !s.Flag:
			l.problem(Problem{Path: s.Path, Source: source, Message: noFlag(s)})
		case s.Kind == List:
			l.lists(s, texts, source)
		default:
			l.text(s, texts[len(texts)-1], source)
		}
	}
	for path := range left {
		l.problem(Problem{Source: "--" + path, Message: "unknown flag"})
	}
}

// noFlag says how to set what cannot be a flag (HRD-84).
func noFlag(s Setting) string {
	if s.Kind == Hidden {
		return fmt.Sprintf("everybody on this machine can read a flag: use %s, %s_FILE or the file", s.Variable, s.Variable)
	}
	return fmt.Sprintf("has secrets in it, and everybody on this machine can read a flag: use %s or the file", s.Variable)
}

// lists joins the lists of a flag that was given several times.
func (l *loader) lists(s Setting, texts []string, source string) {
	var all []string
	for _, text := range texts {
		list, message := splitList(text)
		if message != "" {
			l.problem(Problem{Path: s.Path, Source: source, Message: message})
			return
		}
		all = append(all, list...)
	}
	l.forget(s.Path)
	l.origins[s.Path] = Origin{Source: source}
	l.field(s).Set(reflect.ValueOf(all))
}

// text takes a variable or a flag.
func (l *loader) text(s Setting, text, source string) {
	l.forget(s.Path)
	l.origins[s.Path] = Origin{Source: source}
	v := l.field(s)
	if s.Kind == Structure {
		v.SetZero()
		l.yaml([]byte(text), v, s.Path, source)
		return
	}
	if message := setText(v, text); message != "" {
		l.problem(Problem{Path: s.Path, Source: source, Message: message})
	}
}

// forget drops the origins of what is in a value that is replaced.
func (l *loader) forget(path string) {
	for p := range l.origins {
		if strings.HasPrefix(p, path+"[") || strings.HasPrefix(p, path+".") {
			delete(l.origins, p)
		}
	}
}

func (l *loader) field(s Setting) reflect.Value {
	return reflect.ValueOf(l.cfg).Elem().FieldByIndex(s.index)
}

// origin returns where a setting was set, or what it is in.
func (c *Config) origin(path string) Origin {
	for _, p := range prefixes(path) {
		if o, ok := c.origins[p]; ok {
			return o
		}
	}
	return Origin{}
}
