package config

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// setText sets a value that is no structure from a text: a scalar of the file, a
// variable, a flag or a default. It returns what is wrong, which does not show the
// text of a secret.
func setText(v reflect.Value, text string) (message string) {
	if !utf8.ValidString(text) {
		return "is not valid UTF-8"
	}
	switch kindOf(v.Type()) {
	case Text:
		v.SetString(text)
	case Hidden:
		v.Set(reflect.ValueOf(NewSecret(text)))
	case List:
		list, message := splitList(text)
		if message != "" {
			return message
		}
		v.Set(reflect.ValueOf(list))
	case Bool:
		if text != "true" && text != "false" {
			return "must be true or false, and is " + quote(text)
		}
		v.SetBool(text == "true")
	case Integer:
		n, err := strconv.ParseInt(text, 10, 0)
		if err != nil || n > math.MaxInt32 || n < math.MinInt32 {
			return "must be a whole number, and is " + quote(text)
		}
		v.SetInt(n)
	case Decimal:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return "must be a number, and is " + quote(text)
		}
		v.SetFloat(f)
	case Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return "must be a duration with a unit, as in 500ms, 25s or 1m30s, and is " + quote(text)
		}
		v.SetInt(int64(d))
	case Bytes:
		size, err := ParseSize(text)
		if err != nil {
			return err.Error() + "; it is " + quote(text)
		}
		v.SetInt(int64(size))
	default:
		panic("config: a structure is no text")
	}
	return ""
}

// splitList reads a list from a text: between commas, or as YAML in brackets.
func splitList(text string) (list []string, message string) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return nil, ""
	case text[0] != '[':
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				return nil, "has an empty place between commas"
			}
			list = append(list, part)
		}
		return list, ""
	}
	root, _, message := parseYAML([]byte(text))
	if message != "" {
		return nil, message
	}
	if root == nil || root.Kind != yaml.SequenceNode {
		return nil, "must be a list: a,b or [a, b]"
	}
	for _, n := range root.Content {
		if n.Kind != yaml.ScalarNode || isNull(n) {
			return nil, "must be a list of texts"
		}
		list = append(list, n.Value)
	}
	return list, ""
}
