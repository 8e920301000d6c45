package servecmd

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Flags says where a configuration comes from. Commands embed it; it is made by
// [NewFlags], since kong finds the flags in the value.
type Flags struct {
	File string `name:"config" short:"c" env:"FANWIRE_CONFIG" placeholder:"FILE" help:"File with the configuration, in YAML; see fanwire config defaults. All settings have a variable as well: FANWIRE_REDIS_MODE for --redis.mode."`

	kong.Plugins // one structure, with a field for each setting
}

// NewFlags returns a flag for each setting, grouped by its section. For secrets they are
// hidden, and say what to do instead (HRD-84).
func NewFlags() Flags {
	sections := make(map[string]string)
	for _, s := range config.Sections() {
		sections[s.Name] = s.Doc
	}
	var fields []reflect.StructField
	for _, s := range config.Settings() {
		if s.Variable == "" {
			continue
		}
		section, _, _ := strings.Cut(s.Path, ".")
		f := reflect.StructField{Name: "F" + strconv.Itoa(len(fields)), Type: typeOf(s)}
		f.Tag = tag("name", s.Path) + tag("group", section+": "+sections[section]) + tag("help", help(s)) + tag("placeholder", placeholder(s))
		if !s.Flag {
			f.Tag += ` hidden:""`
		}
		fields = append(fields, f)
	}
	return Flags{Plugins: kong.Plugins{reflect.New(reflect.StructOf(fields)).Interface()}}
}

func typeOf(s config.Setting) reflect.Type {
	switch {
	case !s.Flag:
		return reflect.TypeFor[refused]()
	case s.Kind == config.Bool:
		return reflect.TypeFor[toggle]()
	}
	return reflect.TypeFor[texts]()
}

// tag is an entry of a struct tag. Kong takes "$" for its variables.
func tag(key, value string) reflect.StructTag {
	return reflect.StructTag(" " + key + ":" + strconv.Quote(strings.ReplaceAll(value, "$", "$$")))
}

func help(s config.Setting) string {
	if s.Default == "" {
		return s.Doc
	}
	return s.Doc + " Default: " + s.Default + "."
}

func placeholder(s config.Setting) string {
	switch s.Kind {
	case config.Integer, config.Decimal:
		return "N"
	case config.Structure:
		return "YAML"
	}
	return strings.ToUpper(string(s.Kind))
}

// Load loads the configuration, and does so anew each time. It reads the environment of
// the process. Warn may be nil; see [config.Sources].
func (f *Flags) Load(warn func(config.Problem)) (*config.Config, error) {
	return config.Load(f.sources(warn))
}

func (f *Flags) sources(warn func(config.Problem)) config.Sources {
	s := config.Sources{File: f.File, Environ: os.Environ(), Flags: make(map[string][]string), Warn: warn}
	v := reflect.ValueOf(f.Plugins[0]).Elem()
	i := 0
	for _, setting := range config.Settings() {
		if setting.Variable == "" {
			continue
		}
		switch given := v.Field(i).Interface().(type) {
		case texts:
			if len(given) > 0 {
				s.Flags[setting.Path] = given
			}
		case toggle:
			if given != "" {
				s.Flags[setting.Path] = []string{string(given)}
			}
		}
		i++
	}
	return s
}

// texts is what a flag was given, each time.
type texts []string

// Decode implements kong's MapperValue.
func (t *texts) Decode(ctx *kong.DecodeContext) error {
	token, err := ctx.Scan.PopValue("text")
	if err != nil {
		return errors.New("needs a value")
	}
	*t = append(*t, token.String())
	return nil
}

// toggle is a flag that is true without a value.
type toggle string

// IsBool implements kong's BoolMapperValue.
func (*toggle) IsBool() bool { return true }

// Decode implements kong's MapperValue.
func (t *toggle) Decode(ctx *kong.DecodeContext) error {
	*t = "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		*t = toggle(ctx.Scan.Pop().String())
	}
	return nil
}

// refused is a flag that there is not.
type refused struct{}

// Decode implements kong's MapperValue. The error does not have the value.
func (*refused) Decode(ctx *kong.DecodeContext) error {
	variable := "FANWIRE_" + strings.ToUpper(strings.ReplaceAll(ctx.Value.Name, ".", "_"))
	return fmt.Errorf("a secret in a flag can be read by everybody on this machine: use %s or the configuration file", variable)
}
