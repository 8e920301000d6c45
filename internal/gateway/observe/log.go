package observe

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Log writes log lines as an operator may keep them (HRD-85): secrets are hidden,
// long texts cut, and of lines with one message at most ten a second are written. Its
// methods are safe for concurrent use.
type Log struct {
	level   slog.LevelVar
	limiter *limiter
	logger  *slog.Logger
}

// NewLog makes a log that writes to w, each line in one call, as cfg says. The id of
// the node is on each line, as "node". Close it at the end.
func NewLog(w io.Writer, cfg config.Log, node string) (*Log, error) {
	l := new(Log)
	if err := l.SetLevel(cfg.Level); err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: &l.level}
	var out slog.Handler
	switch cfg.Format {
	case "json", "":
		out = slog.NewJSONHandler(w, opts)
	case "text":
		out = slog.NewTextHandler(w, opts)
	default:
		return nil, fmt.Errorf("observe: log format %.50q is not json or text", cfg.Format)
	}
	out = out.WithAttrs([]slog.Attr{slog.String("node", node)})
	l.limiter = newLimiter(out)
	l.logger = slog.New(handler{out: out, limiter: l.limiter, node: node})
	return l, nil
}

// Logger returns the logger.
func (l *Log) Logger() *slog.Logger { return l.logger }

// SetLevel changes the level, for all loggers that were made of this one: debug,
// info, warn, error, or "" for info.
func (l *Log) SetLevel(level string) error {
	switch strings.ToLower(level) {
	case "debug":
		l.level.Set(slog.LevelDebug)
	case "info", "":
		l.level.Set(slog.LevelInfo)
	case "warn":
		l.level.Set(slog.LevelWarn)
	case "error":
		l.level.Set(slog.LevelError)
	default:
		return fmt.Errorf("observe: log level %.50q is not debug, info, warn or error", level)
	}
	return nil
}

// Close writes how many lines were left out last. The log may be used on.
func (l *Log) Close() { l.limiter.close() }

// handler cleans what it is given and passes it on. It is immutable.
type handler struct {
	out     slog.Handler
	limiter *limiter
	hidden  bool   // everything in the open group is
	node    string // whose id is on each line already; empty in a group
}

// Enabled implements [slog.Handler].
func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.out.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	message := shown("", r.Message)
	if !h.limiter.allow(r.Level, message) {
		return nil
	}
	clean := slog.NewRecord(r.Time, r.Level, message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	if id := traceID(ctx); id != "" {
		clean.AddAttrs(slog.String("trace_id", id))
	}
	return h.out.Handle(ctx, clean)
}

// WithAttrs implements [slog.Handler].
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		if h.node == "" || a.Key != "node" || a.Value.Resolve().String() != h.node {
			clean = append(clean, h.attr(a))
		}
	}
	h.out = h.out.WithAttrs(clean)
	return h
}

// WithGroup implements [slog.Handler].
func (h handler) WithGroup(name string) slog.Handler {
	h.hidden = h.hidden || isSecret(name)
	h.out = h.out.WithGroup(cut(name, maxText))
	h.node = ""
	return h
}

func (h handler) attr(a slog.Attr) slog.Attr {
	if h.hidden {
		return slog.String(cut(a.Key, maxText), hiddenText)
	}
	return redact(a, 0)
}
