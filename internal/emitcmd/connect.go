package emitcmd

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// The environment: secrets come from there or from files, since everybody on the
// machine can read a command line (HRD-84).
const (
	addressVariable  = "FANWIRE_REDIS"
	passwordVariable = "FANWIRE_REDIS_PASSWORD"
)

const defaultAddress = "127.0.0.1:6379"

// checkFlagAddress refuses a secret in a flag.
func checkFlagAddress(address string) error {
	if address == "" {
		return nil
	}
	u, err := parseAddress(address)
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	if _, secret := u.User.Password(); secret || u.Query().Has("password") {
		return fmt.Errorf("--redis: a password in a flag can be read by everybody on this machine: use %s or %s, or --redis-password-file",
			addressVariable, passwordVariable)
	}
	return nil
}

// parseAddress understands host:port and URLs. Its errors do not show the address,
// which may contain a password.
func parseAddress(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "redis://" + address
	}
	u, err := url.Parse(address)
	var detail *url.Error
	switch {
	case errors.As(err, &detail):
		return nil, errors.New("not an address of the form host:port or redis://host:port")
	case err != nil:
		return nil, err
	case u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "":
		return nil, errors.New("not an address of the form host:port, redis://host:port or rediss://host:port")
	}
	return u, nil
}

// silence keeps go-redis from writing to standard error what the command reports.
var silence = sync.OnceFunc(logging.Disable)

// connect makes the client; it does not connect yet.
func (c *Command) connect() (goredis.UniversalClient, error) {
	silence()
	u, err := parseAddress(cmp.Or(c.Redis, os.Getenv(addressVariable), defaultAddress))
	if err != nil {
		return nil, fmt.Errorf("address of Redis: %w", err)
	}
	password, err := c.password()
	if err != nil {
		return nil, err
	}
	if password != "" {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	if c.RedisCluster {
		o, err := goredis.ParseClusterURL(u.String())
		if err != nil {
			return nil, fmt.Errorf("address of Redis: %w", err)
		}
		o.DialerRetries = 1 // the emitter tries again, and knows why it failed
		return goredis.NewClusterClient(o), nil
	}
	o, err := goredis.ParseURL(u.String())
	if err != nil {
		return nil, fmt.Errorf("address of Redis: %w", err)
	}
	o.DialerRetries = 1
	return goredis.NewClient(o), nil
}

// password is the one besides the address, empty if there is none.
func (c *Command) password() (string, error) {
	if c.RedisPasswordFile == "" {
		return os.Getenv(passwordVariable), nil
	}
	b, err := os.ReadFile(c.RedisPasswordFile)
	return strings.TrimRight(string(b), "\r\n"), err
}
