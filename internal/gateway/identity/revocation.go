package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// revocationLife is how long a revocation is kept that does not say: longer than
// tokens should be valid.
const revocationLife = 30 * 24 * time.Hour

// Revocation says which tokens are not accepted any more. The clients that came with
// them are closed. Exactly one of TokenID, User and All is set. It cannot be taken
// back: it ends by itself.
type Revocation struct {
	// TokenID is the jti of a token.
	TokenID string `json:"tokenId,omitempty"`
	// User whose tokens are meant. Clients without a token of whom a webhook said
	// that they are this user are closed too, if they connected before IssuedBefore.
	User string `json:"user,omitempty"`
	// All means the tokens of everybody.
	All bool `json:"all,omitempty"`
	// IssuedBefore, with User and All, means the tokens with an iat before that, and
	// those without one. Tokens count seconds: one of the same second is older.
	// Without it User means all tokens, now and until the revocation ends.
	IssuedBefore time.Time `json:"issuedBefore,omitzero"`
	// Expires is until when this must hold: the exp of the last such token, and the
	// grace. 30 days from now if zero.
	Expires time.Time `json:"expires,omitzero"`
}

// check completes r and tells what is wrong with it. Times are cut to milliseconds.
func (r Revocation) check(now time.Time) (Revocation, error) {
	named := 0
	for _, is := range []bool{r.TokenID != "", r.User != "", r.All} {
		if is {
			named++
		}
	}
	switch {
	case named != 1:
		return r, errors.New("exactly one of tokenId, user and all must be given")
	case len(r.TokenID) > maxTokenID || len(r.User) > maxSubject:
		return r, fmt.Errorf("tokenId or user is longer than %d bytes", maxSubject)
	case !utf8.ValidString(r.TokenID+r.User) || strings.ContainsAny(r.TokenID+r.User, "\x00\uFFFD"):
		return r, errors.New("tokenId or user is not a proper text")
	case r.TokenID != "" && !r.IssuedBefore.IsZero():
		return r, errors.New("issuedBefore does not go with tokenId")
	case r.All && r.IssuedBefore.IsZero():
		return r, errors.New("all needs issuedBefore: nobody could get in")
	}
	if r.Expires.IsZero() {
		r.Expires = now.Add(revocationLife)
	}
	if !r.Expires.After(now) {
		return r, errors.New("expires is over")
	}
	if r.Expires.Unix() > lastSecond || r.IssuedBefore.Unix() > lastSecond {
		return r, errors.New("expires or issuedBefore is too far away")
	}
	r.IssuedBefore = r.IssuedBefore.UTC().Truncate(time.Millisecond)
	r.Expires = r.Expires.UTC().Truncate(time.Millisecond)
	return r, nil
}

// covers tells whether who is concerned by o is concerned by r, and for as long.
func (r Revocation) covers(o Revocation) bool {
	return r.target() == o.target() && !r.Expires.Before(o.Expires) &&
		(r.IssuedBefore.IsZero() || !o.IssuedBefore.IsZero() && !r.IssuedBefore.Before(o.IssuedBefore))
}

// target is whom a revocation is about.
type target struct{ tokenID, user string } // neither: all

func (r Revocation) target() target { return target{r.TokenID, r.User} }

// hits tells whether a token or client of that time is concerned.
func (r Revocation) hits(issued time.Time) bool {
	return r.IssuedBefore.IsZero() || issued.Before(r.IssuedBefore)
}

// member is r in Redis, where its end is the score.
func (r Revocation) member() string {
	r.Expires = time.Time{}
	text, _ := json.Marshal(r) // texts and a time in range
	return string(text)
}

// readRevocation reads a member and its score.
func readRevocation(member string, score float64, now time.Time) (Revocation, error) {
	var r Revocation
	if err := json.Unmarshal([]byte(member), &r); err != nil {
		return r, err
	}
	if !(score > 0 && score < lastSecond*1000) {
		return r, errors.New("not a time")
	}
	r.Expires = time.UnixMilli(int64(score))
	return r.check(now)
}
