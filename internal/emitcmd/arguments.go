package emitcmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxFile is the size in bytes of the largest file: a message may not be larger
// (HRD-68).
const maxFile = 1 << 20

// argument is one argument of an event as it was given.
type argument struct {
	value any    // nil if it has to be read
	file  string // "-" is standard input
	bytes bool   // what is read is binary, else JSON
}

type arguments []argument

// parseArguments understands what can be said without reading anything. No JSON
// begins with any of the signs.
func parseArguments(texts []string) (arguments, error) {
	list := make(arguments, len(texts))
	stdin := 0
	for i, text := range texts {
		a := &list[i]
		switch {
		case text == "-":
			a.file = "-"
		case strings.HasPrefix(text, "@"):
			a.file, a.bytes = text[1:], true
			if a.file == "" {
				return nil, fmt.Errorf("argument %d: @ needs a file name", i+1)
			}
		case strings.HasPrefix(text, "="):
			a.value = text[1:]
		case json.Valid([]byte(text)):
			a.value = json.RawMessage(text)
		default:
			return nil, fmt.Errorf("argument %d is not JSON: %.80s (for a string, write =%.80s)", i+1, text, text)
		}
		if a.file == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return nil, errors.New("standard input can be one argument only")
	}
	return list, nil
}

// load returns the values, reading files and standard input.
func (list arguments) load(stdin io.Reader) ([]any, error) {
	values := make([]any, len(list))
	for i, a := range list {
		values[i] = a.value
		if a.file == "" {
			continue
		}
		b, err := readAll(a.file, stdin)
		switch {
		case err != nil:
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		case a.bytes:
			values[i] = b
		case !json.Valid(b):
			return nil, fmt.Errorf("argument %d: standard input is not one JSON value", i+1)
		default:
			values[i] = json.RawMessage(b)
		}
	}
	return values, nil
}

func readAll(file string, stdin io.Reader) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	b, err := io.ReadAll(io.LimitReader(stdin, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than an event may be (%d bytes)", file, maxFile)
	}
	return b, err
}
