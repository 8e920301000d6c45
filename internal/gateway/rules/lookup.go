package rules

import (
	"bytes"
	"encoding/json"
)

// lookUp returns the text or number in a JSON value to which names lead, numbers as
// they are written. It is not ok if there is none, or if it is something else. raw is
// JSON, or empty. Where an object has a name twice the last one counts, as for those
// who read the event. It takes time in proportion to raw, once for each name.
func lookUp(raw []byte, names []string) (string, bool) {
	for _, name := range names {
		raw = memberOf(raw, name)
	}
	raw = raw[skipSpace(raw, 0):]
	if len(raw) == 0 {
		return "", false
	}
	switch c := raw[0]; {
	case c == '"':
		return unquote(raw[:skipString(raw, 0)])
	case c == '-' || c >= '0' && c <= '9':
		return string(raw[:skipWord(raw, 0)]), true
	}
	return "", false
}

// memberOf returns the value of a member of a JSON object, nil if there is none.
func memberOf(raw []byte, name string) (value []byte) {
	i := skipSpace(raw, 0)
	if i == len(raw) || raw[i] != '{' {
		return nil
	}
	for i++; ; i++ { // over the brace, then over commas
		if i = skipSpace(raw, i); i == len(raw) || raw[i] != '"' {
			return value
		}
		end := skipString(raw, i)
		key := raw[i:end]
		if i = skipSpace(raw, end); i == len(raw) || raw[i] != ':' {
			return value
		}
		i = skipSpace(raw, i+1)
		end = skipValue(raw, i)
		if isText(key, name) {
			value = raw[i:end]
		}
		if i = skipSpace(raw, end); i == len(raw) || raw[i] != ',' {
			return value
		}
	}
}

// isText tells whether a JSON string stands for text.
func isText(raw []byte, text string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return len(raw) == len(text)+2 && string(raw[1:len(raw)-1]) == text
	}
	got, ok := unquote(raw)
	return ok && got == text
}

// unquote returns the text of a JSON string.
func unquote(raw []byte) (text string, ok bool) {
	if len(raw) < 2 || raw[len(raw)-1] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	return text, json.Unmarshal(raw, &text) == nil
}

// The following return the index behind what begins at i, at most that of the end.

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\r' || raw[i] == '\n') {
		i++
	}
	return i
}

func skipString(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}

func skipWord(raw []byte, i int) int {
	for i < len(raw) {
		switch raw[i] {
		case ',', ':', ']', '}', ' ', '\t', '\r', '\n':
			return i
		}
		i++
	}
	return i
}

func skipValue(raw []byte, i int) int {
	depth := 0
	for i < len(raw) {
		switch raw[i] {
		case '"':
			i = skipString(raw, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
			continue
		default:
			i = skipWord(raw, i)
		}
		if depth <= 0 {
			return i
		}
	}
	return i
}
