package socketio

// ReplacePlaceholders appends data, which is valid JSON, to dst; in the place of
// each placeholder it appends what f appends for the placeholder's number, which
// is below n. With n zero nothing is a placeholder (SIO-M-22).
//
// A placeholder is an object of exactly two members, "_placeholder": true and
// "num" with an integer literal (SIO-B-03). Any other object that says
// "_placeholder": true is an error, and so is a number that is not below n:
// official clients, to whom the JSON may be passed on, would close their
// connection (HRD-42). There is no recursion.
func ReplacePlaceholders(dst, data []byte, n int, f func(dst []byte, num int) []byte) ([]byte, error) {
	from := 0
	for n > 0 {
		start, end, num, err := nextPlaceholder(data, from, n)
		if err != nil {
			return dst, err
		}
		if start < 0 {
			break
		}
		dst = append(dst, data[from:start]...)
		dst = f(dst, num)
		from = end
	}
	return append(dst, data[from:]...), nil
}

// checkPlaceholders returns the error of ReplacePlaceholders.
func checkPlaceholders(data []byte, n int) error {
	for i := 0; i >= 0; {
		start, end, _, err := nextPlaceholder(data, i, n)
		if err != nil {
			return err
		}
		i = end
		if start < 0 {
			return nil
		}
	}
	return nil
}

// nextPlaceholder finds the first placeholder at or behind i; start is negative
// when there is none. Since whole placeholders are stepped over, any other key
// "_placeholder" with the value true is at fault, at whatever depth: no stack is
// needed.
func nextPlaceholder(data []byte, i, n int) (start, end, num int, err error) {
	for i < len(data) {
		switch data[i] {
		case '{':
			if num, end := matchPlaceholder(data, i); end > 0 {
				if num >= n {
					return 0, 0, 0, ErrAttachments
				}
				return i, end, num, nil
			}
			i++
		case '"':
			end := scanString(data, i+1)
			if end < 0 {
				return 0, 0, 0, ErrPayload
			}
			if claimsPlaceholder(data, i, end) {
				return 0, 0, 0, ErrAttachments
			}
			i = end
		default:
			i++
		}
	}
	return -1, len(data), 0, nil
}

// claimsPlaceholder reports whether the string data[i:end] is the key of a
// member "_placeholder": true.
func claimsPlaceholder(data []byte, i, end int) bool {
	if !equalString(data[i+1:end-1], "_placeholder") {
		return false
	}
	i = scanColon(data, end)
	return i > 0 && scanWord(data, i, "true") > 0
}

// matchPlaceholder reads the object at i. The end is zero when it is no exact
// placeholder.
func matchPlaceholder(data []byte, i int) (num, end int) {
	num = -1
	marked := false
	for _, last := range [...]byte{',', '}'} {
		i = skipSpace(data, i+1)
		keyEnd := 0
		if i < len(data) && data[i] == '"' {
			keyEnd = scanString(data, i+1)
		}
		if keyEnd <= 0 {
			return 0, 0
		}
		key := data[i+1 : keyEnd-1]
		if i = scanColon(data, keyEnd); i <= 0 {
			return 0, 0
		}
		switch {
		case equalString(key, "_placeholder"):
			marked = true
			i = scanWord(data, i, "true")
		case equalString(key, "num"):
			num, i = scanIndex(data, i)
		default:
			return 0, 0
		}
		if i <= 0 {
			return 0, 0
		}
		if i = skipSpace(data, i); i == len(data) || data[i] != last {
			return 0, 0
		}
	}
	if !marked || num < 0 {
		return 0, 0
	}
	return num, i + 1
}

// scanColon takes the colon behind a key and the space around it.
func scanColon(data []byte, i int) int {
	i = skipSpace(data, i)
	if i == len(data) || data[i] != ':' {
		return notJSON
	}
	return skipSpace(data, i+1)
}

// scanIndex takes a non-negative integer literal. Whoever counts beyond 999 is
// out of every range: there are not that many attachments (HRD-41).
func scanIndex(data []byte, i int) (num, end int) {
	for end = i; end < len(data) && data[end]-'0' <= 9; end++ {
		num = min(num*10+int(data[end]-'0'), maxAttachments+1)
	}
	if end == i {
		return -1, notJSON
	}
	return num, end
}

// equalString reports whether raw, the inside of a JSON string, means s.
func equalString(raw []byte, s string) bool {
	if string(raw) == s {
		return true
	}
	if len(raw) > 6*len(s) || !escaped(raw) {
		return false
	}
	return string(appendUnescaped(nil, raw)) == s
}
