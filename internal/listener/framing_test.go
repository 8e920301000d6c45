package listener

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

var framings = []struct {
	name, input string
	want        error
}{
	{"no body", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", nil},
	{"two requests", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n", nil},
	{"length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: x\r\n\r\n", nil},
	{"a body like a header", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 42\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: a\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", nil},
	{"chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", nil},
	{"chunk like a header", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n13\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", nil},
	{"blank line after a POST", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", nil},
	{"long request line", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n", nil},
	{"length and chunked", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errTwoFrames},
	{"chunked and length", "POST / HTTP/1.1\r\nHost: x\r\nTRANSFER-encoding:chunked\r\ncontent-length:3\r\n\r\n0\r\n\r\n", errTwoFrames},
	{"two equal lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", errTwoLengths},
	{"two lengths of nothing", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", errTwoLengths},
	{"padded length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:" + strings.Repeat(" ", 40) + "1\r\n\r\na", errLongLength},
	{"folded", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", errFolded},
	{"folded by a tab", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n", errFolded},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errOldChunks},
	{"in the second request", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" +
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errTwoFrames},
}

// HRD-17: the same result wherever the bytes are cut.
func TestFraming(t *testing.T) {
	for _, tt := range framings {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 7, 41, 1 << 20} {
				f, err := follow([]byte(tt.input), size)
				if !errors.Is(err, tt.want) {
					t.Errorf("cut at %d: %v, want %v", size, err, tt.want)
				}
				if err == nil && (f.part != requestLine || f.n != 0) {
					t.Errorf("cut at %d: ends in part %d", size, f.part)
				}
			}
		})
	}
}

func follow(input []byte, size int) (*framing, error) {
	f := new(framing)
	for len(input) > 0 {
		n := min(size, len(input))
		if err := f.next(input[:n]); err != nil {
			return f, err
		}
		input = input[n:]
	}
	return f, nil
}

// HRD-17, B05: over a connection each is answered 400 and ends it.
func TestOddHTTP(t *testing.T) {
	s := startServer(t, Config{})
	inputs := map[string]string{
		"different lengths": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\naa",
		"length of -1":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"space in a name":   "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
		"no host":           "GET / HTTP/1.1\r\n\r\n",
		"two hosts":         "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
		"NUL in the target": "GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"broken address":    "GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"bare CR in a name": "GET / HTTP/1.1\r\nHost: x\r\nA\rB: c\r\n\r\n",
	}
	for _, tt := range framings {
		if tt.want != nil && tt.name != "in the second request" {
			inputs[tt.name] = tt.input
		}
	}
	for name, input := range inputs {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			send(t, c, input)
			if res, _ := answer(t, c); res.StatusCode != http.StatusBadRequest || !res.Close {
				t.Errorf("%s, close %v", res.Status, res.Close)
			}
			ended(t, c)
		})
	}
}

// What net/http reads to the end without repair leaves framing between two
// requests, however it was cut.
func FuzzFraming(f *testing.F) {
	for _, tt := range framings {
		f.Add([]byte(tt.input), 3)
	}
	f.Fuzz(func(t *testing.T, input []byte, size int) {
		whole, err := follow(input, len(input))
		cut, err2 := follow(input, max(1, size%64))
		if err != err2 || err == nil && *whole != *cut {
			t.Fatalf("cut: %v, %v", err, err2)
		}
		if err != nil {
			return
		}
		r := bufio.NewReader(bytes.NewReader(input))
		for {
			req, err := http.ReadRequest(r)
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
		if whole.part != requestLine {
			t.Errorf("net/http is between requests, framing in part %d", whole.part)
		}
	})
}
