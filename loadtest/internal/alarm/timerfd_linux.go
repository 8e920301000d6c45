package alarm

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerFile is a timer of the kernel as a file, which the runtime waits for as for a
// connection: to the microsecond, without a thread.
type timerFile struct {
	fd   int
	file *os.File
	buf  [8]byte
}

func newClock() clock {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimer()
	}
	return &timerFile{fd: fd, file: os.NewFile(uintptr(fd), "timer")}
}

func (t *timerFile) wait(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(t.fd, 0, &spec, nil); err != nil {
		time.Sleep(min(d, time.Millisecond))
		return
	}
	if _, err := t.file.Read(t.buf[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		time.Sleep(min(d, time.Millisecond)) // and tried again, not in a hurry
	}
}

func (t *timerFile) wake() { _ = t.file.SetReadDeadline(time.Unix(1, 0)) }

func (t *timerFile) close() { _ = t.file.Close() }
