package listener

import (
	"bytes"
	"errors"
)

// Errors of requests that two servers on one path could read in two ways. RFC
// 9112 lets a server repair them, and net/http does; behind a proxy that repairs
// differently one client's body becomes the next client's request (HRD-17).
var (
	errTwoLengths = errors.New("listener: more than one Content-Length")
	errTwoFrames  = errors.New("listener: Content-Length together with Transfer-Encoding")
	errOldChunks  = errors.New("listener: Transfer-Encoding before HTTP/1.1")
	errLongLength = errors.New("listener: padded Content-Length")
	errFolded     = errors.New("listener: folded header line")
)

type part uint8

const (
	requestLine part = iota
	header
	body
	chunkSize
	chunkData
	chunkEnd
	trailer
)

// framing follows the requests in the bytes of a connection. It checks what
// net/http repairs and leaves every other mistake to net/http, which refuses it
// and reads no further.
type framing struct {
	part    part
	http11  bool
	length  bool     // seen Content-Length
	chunked bool     // seen Transfer-Encoding
	n       int      // length of the line so far
	line    [40]byte // its first bytes, or, for a request line, its last
	left    int64    // bytes of the body or chunk to come
}

// next takes the bytes that follow, and returns an error at the first request
// that is framed in two ways.
func (f *framing) next(p []byte) error {
	for len(p) > 0 {
		if f.part == body || f.part == chunkData {
			p = f.skip(p)
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			f.add(p)
			return nil
		}
		f.add(p[:i])
		p = p[i+1:]
		if err := f.endLine(); err != nil {
			return err
		}
		f.n = 0
	}
	return nil
}

// skip passes over data of a body.
func (f *framing) skip(p []byte) []byte {
	n := min(f.left, int64(len(p)))
	f.left -= n
	switch {
	case f.left > 0:
	case f.part == body:
		f.part = requestLine
	default:
		f.part = chunkEnd
	}
	return p[n:]
}

// add keeps the part of a line that matters.
func (f *framing) add(p []byte) {
	keep := f.line[min(f.n, len(f.line)):]
	if f.part == requestLine {
		if len(p) >= len(f.line) {
			copy(f.line[:], p[len(p)-len(f.line):])
			f.n = len(f.line)
			return
		}
		if over := f.n + len(p) - len(f.line); over > 0 {
			copy(f.line[:], f.line[over:f.n])
			f.n -= over
		}
		keep = f.line[f.n:]
	}
	copy(keep, p)
	f.n += len(p)
}

func (f *framing) endLine() error {
	line := bytes.TrimSuffix(f.line[:min(f.n, len(f.line))], []byte("\r"))
	switch f.part {
	case requestLine:
		if len(line) > 0 { // net/http skips empty lines after a POST
			*f = framing{part: header, http11: bytes.HasSuffix(line, []byte("HTTP/1.1"))}
		}
	case header:
		return f.headerLine(line)
	case chunkSize:
		f.startChunk(line)
	case chunkEnd:
		f.part = chunkSize
	case trailer:
		if len(line) == 0 {
			f.part = requestLine
		}
	case body, chunkData: // no lines
	}
	return nil
}

func (f *framing) headerLine(line []byte) error {
	if len(line) == 0 {
		return f.endHeader()
	}
	if line[0] == ' ' || line[0] == '\t' {
		return errFolded
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		if f.length {
			return errTwoLengths
		}
		if f.n > len(f.line) {
			return errLongLength
		}
		f.length = true
		f.left = number(bytes.Trim(value, " \t"), 10)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		f.chunked = true
	}
	return nil
}

func (f *framing) endHeader() error {
	switch {
	case f.chunked && f.length:
		return errTwoFrames
	case f.chunked && !f.http11:
		return errOldChunks
	case f.chunked:
		f.part = chunkSize
	case f.left > 0:
		f.part = body
	default:
		f.part = requestLine
	}
	return nil
}

func (f *framing) startChunk(line []byte) {
	size, _, _ := bytes.Cut(line, []byte(";"))
	f.left = number(bytes.TrimRight(size, " \t"), 16)
	f.part = chunkData
	if f.left == 0 {
		f.part = trailer
	}
}

// number reads digits of base 10 or 16 and stops at anything else: net/http ends
// the connection there. So it does where the number is too large.
func number(s []byte, base int64) int64 {
	const most = 1 << 56
	var n int64
	for _, c := range s {
		d := digit(c)
		if d >= base || n > most {
			break
		}
		n = n*base + d
	}
	return n
}

func digit(c byte) int64 {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10
	}
	return 99
}
