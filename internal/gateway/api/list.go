package api

import (
	"bufio"
	"encoding/json"
	"net/http"
)

// listEnd follows the entries of a list.
type listEnd struct {
	Next string `json:"next,omitempty"` // cursor of the next page
	gap
}

// list sends a list entry by entry: {"NAME":[...],"next":...,"missing":[...],...}.
func (c *call) list(name string, n int, entry func(i int) any, end any) error {
	tail, err := json.Marshal(end)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(&c.w, 16<<10)
	_, _ = out.WriteString(`{"` + name + `":[`)
	for i := range n {
		text, err := json.Marshal(entry(i))
		if err != nil {
			return err
		}
		if i > 0 {
			_ = out.WriteByte(',')
		}
		if _, err := out.Write(text); err != nil {
			return nil // the client is gone
		}
	}
	_, _ = out.WriteString("],")
	_, _ = out.Write(tail[1:])
	_ = out.Flush()
	return nil
}

// noQuery refuses parameters.
func (c *call) noQuery() error {
	if _, problems := c.query(); problems != nil {
		return invalid(problems)
	}
	return nil
}
