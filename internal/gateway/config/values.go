package config

// Secret is a value that no output shows.
type Secret struct {
	value string
}

// NewSecret returns a secret.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value, for the one place that uses it.
func (s Secret) Reveal() string { return s.value }

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.value != "" }

// String returns "***", or "" if the secret is not set.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "***"
}

// GoString keeps %#v from showing the value.
func (s Secret) GoString() string { return s.String() }

// Size is a number of bytes, written as a number or with kB, MB, GB, KiB, MiB, GiB.
type Size int64
