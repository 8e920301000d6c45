package engine

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strconv"
	"strings"
	"sync"
)

// acceptedEncoding chooses gzip or deflate by the q-values, gzip on a tie; ""
// for neither (EIO-Z-02).
func acceptedEncoding(header string) string {
	var gz, df, any float64 = -1, -1, 0
	for part := range strings.SplitSeq(header, ",") {
		name, q := parseQuality(part)
		switch name {
		case "gzip", "x-gzip":
			gz = q
		case "deflate":
			df = q
		case "*":
			any = q
		}
	}
	if gz < 0 {
		gz = any
	}
	if df < 0 {
		df = 0 // * gives gzip
	}
	switch {
	case gz > 0 && gz >= df:
		return "gzip"
	case df > 0:
		return "deflate"
	default:
		return ""
	}
}

func parseQuality(part string) (name string, q float64) {
	name, params, _ := strings.Cut(part, ";")
	q = 1
	for p := range strings.SplitSeq(params, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				f = 0
			}
			q = f
		}
	}
	return strings.ToLower(strings.TrimSpace(name)), q
}

// compressor is what gzip and zlib writers have in common.
type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

var (
	gzipWriters = sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for unknown levels only
		return w
	}}
	zlibWriters = sync.Pool{New: func() any {
		w, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed)
		return w
	}}
)

// compressBody compresses a response; deflate is wrapped by zlib (EIO-Z-03).
func compressBody(encoding string, body []byte) []byte {
	pool := &gzipWriters
	if encoding == "deflate" {
		pool = &zlibWriters
	}
	var out bytes.Buffer
	w := pool.Get().(compressor)
	w.Reset(&out)
	_, _ = w.Write(body) // a bytes.Buffer does not fail
	_ = w.Close()
	pool.Put(w)
	return out.Bytes()
}
