package webhook

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

const (
	maxActions  = 100
	maxUser     = 256  // bytes
	maxPatterns = 1000 // of rooms, of events
	maxMessage  = 1024 // bytes of the text of a refusal
)

// answer is a response as it comes. Members that are not known are ignored: a
// backend may be newer.
type answer struct {
	Refuse  *refusal        `json:"refuse"`
	User    *string         `json:"user"`
	Data    json.RawMessage `json:"data"`
	Rooms   []string        `json:"rooms"`
	MayJoin []string        `json:"mayJoin"`
	MaySend []string        `json:"maySend"`
	Expires json.RawMessage `json:"expires"`
	Ack     json.RawMessage `json:"ack"`
	Actions json.RawMessage `json:"actions"`
}

type refusal struct {
	Message *string         `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// parseAnswer reads the body of a 2xx.
func parseAnswer(req *Request, body []byte, l command.Limits) (Response, error) {
	var a answer
	if body = trim(body); len(body) == 0 {
		if req.Type == Connect { // any page that is empty would let everybody in
			return Response{}, &AnswerError{"empty: a connect is answered by a JSON object"}
		}
		return Response{}, nil
	}
	if err := command.CheckJSON(body); err != nil {
		return Response{}, &AnswerError{command.TypeProblem(err).String()}
	}
	if body[0] != '{' {
		return Response{}, &AnswerError{"not a JSON object"}
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return Response{}, &AnswerError{command.TypeProblem(err).String()}
	}
	p := answerParser{answer: &a, req: req, limits: l}
	p.misplaced()
	if req.Type == Connect {
		p.connect()
	} else {
		p.actions()
	}
	if req.Type == Event {
		p.ack()
	}
	if p.problems != nil {
		return Response{}, &AnswerError{joined(p.problems)}
	}
	return p.out, nil
}

func joined(problems []command.Problem) string {
	var texts []string
	for i, p := range problems {
		if i == 5 {
			texts = append(texts, "and "+strconv.Itoa(len(problems)-i)+" more")
			break
		}
		texts = append(texts, p.String())
	}
	return strings.Join(texts, "; ")
}

type answerParser struct {
	answer   *answer
	req      *Request
	limits   command.Limits
	out      Response
	problems []command.Problem
}

func (p *answerParser) add(path, message string) {
	p.problems = append(p.problems, command.Problem{Path: path, Message: message})
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// misplaced refuses what would have no effect: a backend that lets in whom it wanted
// to refuse should hear of it.
func (p *answerParser) misplaced() {
	a, t := p.answer, p.req.Type
	for _, m := range []struct {
		path  string
		given bool
		ok    bool
	}{
		{"refuse", a.Refuse != nil, t == Connect},
		{"user", a.User != nil, t == Connect},
		{"data", given(a.Data), t == Connect},
		{"rooms", a.Rooms != nil, t == Connect},
		{"mayJoin", a.MayJoin != nil, t == Connect},
		{"maySend", a.MaySend != nil, t == Connect},
		{"expires", given(a.Expires), t == Connect},
		{"ack", given(a.Ack), t == Event},
		{"actions", given(a.Actions), t != Connect},
	} {
		if m.given && !m.ok {
			p.add(m.path, "means nothing for "+string(t))
		}
	}
}

func (p *answerParser) connect() {
	a := p.answer
	if a.Refuse != nil {
		p.refuse(a.Refuse)
		return
	}
	if a.User != nil {
		if len(*a.User) > maxUser || strings.IndexByte(*a.User, 0) >= 0 {
			p.add("user", "longer than 256 bytes, or not text")
		}
		p.out.User = *a.User
	}
	if given(a.Data) {
		if limit := dataLimit(p.limits); len(a.Data) > limit {
			p.add("data", "larger than "+strconv.Itoa(limit)+" bytes")
		}
		p.out.Data = a.Data
	}
	p.problems = append(p.problems, command.CheckRooms("rooms", a.Rooms, p.limits)...)
	p.out.Rooms = a.Rooms
	p.out.MayJoin = p.patterns("mayJoin", a.MayJoin)
	p.out.MaySend = p.patterns("maySend", a.MaySend)
	if given(a.Expires) {
		p.out.Expires = p.expires(a.Expires)
	}
}

func dataLimit(l command.Limits) int {
	if l.Data > 0 {
		return l.Data
	}
	return maxAnswer // which bounds it in any case
}

func (p *answerParser) refuse(r *refusal) {
	p.out.Refuse = &Refusal{Message: "refused"}
	if r.Message != nil && *r.Message != "" {
		p.out.Refuse.Message = *r.Message
	}
	if len(p.out.Refuse.Message) > maxMessage {
		p.add("refuse.message", "longer than 1024 bytes")
	}
	if given(r.Data) {
		p.out.Refuse.Data = r.Data
	}
}

// patterns checks a list of patterns; an empty list is not the same as none.
func (p *answerParser) patterns(path string, list []string) []string {
	if len(list) > maxPatterns {
		p.add(path, "more than 1000 patterns")
	}
	for i, s := range list {
		if s == "" || len(s) > 256 || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
			p.add(path+"["+strconv.Itoa(i)+"]", "empty, longer than 256 bytes, or not text")
			break
		}
	}
	return list
}

// expires reads a time: RFC 3339, or seconds since 1970 as in tokens.
func (p *answerParser) expires(raw json.RawMessage) time.Time {
	if raw[0] == '"' {
		var t time.Time
		if json.Unmarshal(raw, &t) == nil && t.Unix() > 0 {
			return t
		}
	} else if seconds, err := strconv.ParseFloat(string(raw), 64); err == nil && seconds > 0 && seconds < 1<<40 {
		whole, part := math.Modf(seconds)
		return time.Unix(int64(whole), int64(part*1e9))
	}
	p.add("expires", "must be a time like 2030-01-02T03:04:05Z, or seconds since 1970")
	return time.Time{}
}

func (p *answerParser) ack() {
	if !given(p.answer.Ack) {
		return
	}
	args, err := command.ParseArgs(p.answer.Ack)
	if err != nil {
		p.add("ack", command.TypeProblem(err).Message)
		return
	}
	p.problems = append(p.problems, command.CheckArgs("ack", args, p.limits)...)
	p.out.Ack = &args
}

func (p *answerParser) actions() {
	if !given(p.answer.Actions) {
		return
	}
	list, problems := command.ParseList(p.answer.Actions, maxActions)
	p.problems = append(p.problems, command.Under("actions", problems)...)
	if problems != nil {
		return
	}
	l := p.limits
	l.Self = p.req.Type != Disconnected
	for i := range list {
		c := &list[i]
		if c.Namespace == "" {
			c.Namespace = p.req.Namespace
		}
		if l.Self && c.Kind != command.ServerEmit && !c.Targeted() && c.Namespace != p.req.Namespace {
			p.add("actions["+strconv.Itoa(i)+"].namespace", "is not that of the client: to or all is required")
		}
		path := "actions[" + strconv.Itoa(i) + "]"
		p.problems = append(p.problems, command.Under(path, c.Validate(l))...)
	}
	p.out.Actions = list
}
