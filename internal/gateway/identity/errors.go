package identity

import "errors"

// Code is what a client is told of its token: short, the same for all causes that
// are none of its business.
type Code string

// The codes.
const (
	Missing     Code = "token missing"
	Expired     Code = "token expired"
	NotYetValid Code = "token not yet valid"
	Invalid     Code = "token invalid"
	Revoked     Code = "token revoked"
	// Unavailable says that the token could not be checked now. The client may try
	// again.
	Unavailable Code = "authentication unavailable"
)

// Error says why a token is not accepted. Neither it nor its detail contains any of
// the token.
type Error struct {
	Code   Code
	Detail string // for the log of the operator; not for clients
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "identity: " + string(e.Code)
	}
	return "identity: " + string(e.Code) + ": " + e.Detail
}

// Is tells whether target has the same code: errors.Is(err, ErrExpired).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errors to compare with, by [errors.Is].
var (
	ErrMissing     error = &Error{Code: Missing}
	ErrExpired     error = &Error{Code: Expired}
	ErrNotYetValid error = &Error{Code: NotYetValid}
	ErrInvalid     error = &Error{Code: Invalid}
	ErrRevoked     error = &Error{Code: Revoked}
	ErrUnavailable error = &Error{Code: Unavailable}
)

// CodeOf returns what to tell a client of err: its code, or [Unavailable] if it is
// not an [Error], such as that of a context.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Unavailable
}

func invalid(detail string) error { return &Error{Invalid, detail} }
