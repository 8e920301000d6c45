package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// lookEvery is how often it is seen whether a file of keys has changed, while tokens
// are checked.
const lookEvery = time.Second

// keyFile is a file with keys, read again when it has changed. If it cannot be read
// then, the keys stay.
type keyFile struct {
	// Static after construction.
	path  string
	parse func([]byte) ([]key, error)
	log   *slog.Logger
	epoch time.Time

	looked atomic.Int64 // when, after epoch
	read   atomic.Pointer[keyFileState]
}

type keyFileState struct {
	info fs.FileInfo // of the file as it was tried last
	keys []key
}

// openKeyFile reads the file.
func openKeyFile(path string, parse func([]byte) ([]key, error), log *slog.Logger) (*keyFile, error) {
	f := &keyFile{path: path, parse: parse, log: log, epoch: time.Now()}
	info, keys, err := f.load()
	if err != nil {
		return nil, err
	}
	f.read.Store(&keyFileState{info, keys})
	return f, nil
}

// keys returns the keys as they are now. Now and then one of the callers looks at
// the file, while the others go on.
func (f *keyFile) keys() []key {
	last, now := f.looked.Load(), int64(time.Since(f.epoch))
	if now-last >= int64(lookEvery) && f.looked.CompareAndSwap(last, now) {
		f.look()
	}
	return f.read.Load().keys
}

func (f *keyFile) look() {
	old := f.read.Load()
	if info, err := os.Stat(f.path); err == nil && old.info != nil && same(info, old.info) {
		return
	}
	info, keys, err := f.load()
	if err != nil {
		if info != nil || old.info != nil { // once for each state of the file
			f.log.Error("reading keys for tokens; the old ones stay", "file", f.path, "error", err)
		}
		f.read.Store(&keyFileState{info, old.keys})
		return
	}
	f.log.Info("read new keys for tokens", "file", f.path, "keys", len(keys))
	f.read.Store(&keyFileState{info, keys})
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load reads the file. info is nil if it is not there.
func (f *keyFile) load() (info fs.FileInfo, keys []key, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err = file.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return info, nil, errors.New("not a file")
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeySet+1))
	switch {
	case err != nil:
		return info, nil, err
	case len(data) > maxKeySet:
		return info, nil, fmt.Errorf("larger than %d bytes", maxKeySet)
	}
	keys, err = f.parse(data)
	return info, keys, err
}
