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

// CheckArgs tells whether args is what stands in the array of a packet: JSON values
// with commas between, or nothing. With the array they are nested at most 128 deep
// (HRD-05). With attachments the placeholders must be right ([ReplacePlaceholders]).
// The errors are [ErrPayload], [ErrDepth] and [ErrAttachments]; like [Valid] it
// leaves the encoding of strings unchecked.
func CheckArgs(args []byte, attachments int) error {
	for i := skipSpace(args, 0); i < len(args); {
		switch i = scan(args, i, 0, defaultDepth-1); i {
		case notJSON:
			return ErrPayload
		case tooDeep:
			return ErrDepth
		}
		if i = skipSpace(args, i); i == len(args) {
			break
		}
		if args[i] != ',' {
			return ErrPayload
		}
		if i = skipSpace(args, i+1); i == len(args) {
			return ErrPayload
		}
	}
	if attachments == 0 {
		return nil // nothing is a placeholder (SIO-M-22)
	}
	return checkPlaceholders(args, attachments)
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
