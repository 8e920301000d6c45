package socketio

import "iter"

// SplitArgs yields the raw JSON of each argument in args, which is the Args of
// a decoded packet or other valid JSON of that form. It does not allocate, and
// what it yields aliases args. On anything else what it yields has no meaning.
func SplitArgs(args []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := skipSpace(args, 0); i < len(args); {
			end := skipValue(args, i)
			if !yield(trimRight(args[i:end:end])) {
				return
			}
			i = skipSpace(args, min(end+1, len(args))) // the comma
		}
	}
}

// skipValue returns the index behind the valid JSON value at i: that of the
// next comma that belongs to no string and no container, or the end.
func skipValue(data []byte, i int) int {
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			end := scanString(data, i+1)
			if end < 0 {
				return len(data)
			}
			i = end - 1
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}

func trimRight(data []byte) []byte {
	n := len(data)
	for n > 0 && isSpace(data[n-1]) {
		n--
	}
	return data[:n:n]
}
