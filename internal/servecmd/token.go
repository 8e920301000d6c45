package servecmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
)

// Token is the command `fanwire token`, which makes a token for trying things out. The
// secret is that of the configuration or in a file: everybody on the machine can read a
// command line (HRD-84).
type Token struct {
	File string `name:"config" short:"c" env:"FANWIRE_CONFIG" placeholder:"FILE" help:"File with the configuration of the gateway, in YAML. Secret, names of claims, aud and iss are those of auth.jwt there and in the environment."`

	User       string        `help:"Whose token it is: the claim sub." placeholder:"NAME"`
	ID         string        `name:"id" help:"Id by which it can be revoked: the claim jti." placeholder:"ID"`
	Rooms      []string      `help:"Rooms that the client joins." placeholder:"ROOM"`
	MayJoin    []string      `help:"Patterns of the rooms that it may join. Empty (--may-join=): none." placeholder:"PATTERN"`
	MaySend    []string      `help:"Patterns of the events that it may send. Empty (--may-send=): none." placeholder:"PATTERN"`
	Namespaces []string      `help:"Patterns of the namespaces that it is good for." placeholder:"PATTERN"`
	Expires    time.Duration `help:"How long it is valid." default:"1h" placeholder:"DURATION"`
	Audience   string        `help:"The claim aud." placeholder:"TEXT"`
	Issuer     string        `help:"The claim iss." placeholder:"TEXT"`
	Claims     string        `help:"Further claims, a JSON object." placeholder:"JSON"`
	KeyID      string        `name:"kid" help:"Id of the key." placeholder:"ID"`
	Algorithm  string        `help:"Algorithm. By default the first of the configuration that fits the key, or the usual one for it, as HS256 for a secret." placeholder:"NAME"`
	SecretFile string        `help:"File with the secret, instead of that of the configuration." placeholder:"FILE" xor:"key"`
	KeyFile    string        `help:"File with a private key, PEM." placeholder:"FILE" xor:"key"`
}

// Run prints a token.
func (c *Token) Run(_ context.Context, out io.Writer) error {
	if c.Expires <= 0 {
		return errors.New("--expires: must be more than 0")
	}
	cfg, err := config.Load(config.Sources{File: c.File, Environ: os.Environ()})
	if err != nil {
		return err
	}
	jwt := cfg.Auth.JWT
	key, err := c.key(&jwt)
	if err != nil {
		return err
	}
	claims, err := c.claims()
	if err != nil {
		return err
	}
	now := time.Now()
	token, err := key.Sign(identity.Spec{
		User: c.User, ID: c.ID, Issuer: cmp.Or(c.Issuer, jwt.Issuer), Audience: cmp.Or(c.Audience, jwt.Audience),
		Issued: now, Expires: now.Add(c.Expires),
		Rooms: list(c.Rooms), MayJoin: list(c.MayJoin), MaySend: list(c.MaySend), Namespaces: list(c.Namespaces),
		KeyID: c.KeyID, Claims: claims,
	}, jwt)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token)
	return err
}

// key is what signs.
func (c *Token) key(jwt *config.JWT) (identity.SigningKey, error) {
	var data []byte
	switch path := cmp.Or(c.KeyFile, c.SecretFile); {
	case path != "":
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return identity.SigningKey{}, err
		}
		data = bytes.TrimRight(data, "\r\n")
	case jwt.Secret.IsSet():
		data = []byte(jwt.Secret.Reveal())
	default:
		return identity.SigningKey{}, errors.New("no secret: give the gateway's configuration (--config, FANWIRE_AUTH_JWT_SECRET, FANWIRE_AUTH_JWT_SECRET_FILE), --secret-file or --key-file")
	}
	if c.Algorithm == "" {
		for _, alg := range jwt.Algorithms {
			if key, err := identity.ReadSigningKey(data, alg); err == nil {
				return key, nil
			}
		}
	}
	return identity.ReadSigningKey(data, c.Algorithm)
}

func (c *Token) claims() (claims map[string]any, err error) {
	if c.Claims == "" {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(c.Claims)))
	dec.UseNumber()
	if dec.Decode(&claims) != nil || claims == nil || dec.More() {
		return nil, errors.New("--claims: not a JSON object")
	}
	return claims, nil
}

// list is what a flag gives: one empty text stands for an empty list.
func list(texts []string) []string {
	if len(texts) == 1 && texts[0] == "" {
		return []string{}
	}
	return texts
}
