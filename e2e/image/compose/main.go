// Command compose checks docker-compose.yml as docker compose reads it, without an engine:
// unknown keys, each profile, that what is mounted exists, and that no container may more
// than it needs. It is a module of its own, so that nothing of it is in Fanwire's.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// profiles are the ways to start it and the services that each must have.
var profiles = map[string][]string{
	"":           {"haproxy", "node1", "node2", "node3", "redis"},
	"roundrobin": {"haproxy", "nginx", "node1", "node2", "node3", "redis"},
	"monitoring": {"grafana", "haproxy", "node1", "node2", "node3", "prometheus", "redis"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: compose FILE")
		os.Exit(2)
	}
	var errs []error
	for profile, want := range profiles {
		if err := check(context.Background(), os.Args[1], profile, want); err != nil {
			errs = append(errs, fmt.Errorf("profile %q: %w", profile, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s: %d profiles\n", os.Args[1], len(profiles))
}

func check(ctx context.Context, file, profile string, want []string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithProfiles([]string{profile}), cli.WithName("fanwire"))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return err
	}
	var errs []error
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		errs = append(errs, fmt.Errorf("services %v, want %v", got, want))
	}
	var published []string
	for _, s := range project.Services {
		errs = append(errs, checkService(s)...)
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				published = append(published, s.Name)
			}
		}
	}
	for _, name := range published {
		if name != "haproxy" && name != "nginx" {
			errs = append(errs, fmt.Errorf("%s is published to other machines", name))
		}
	}
	return errors.Join(errs...)
}

func checkService(s types.ServiceConfig) (errs []error) {
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(s.Name+": "+format, args...))
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			bad("volume: %v", err)
		}
		if !v.ReadOnly {
			bad("%s can be written", v.Source)
		}
	}
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged ||
		!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		bad("may more than it needs: read_only, cap_drop, security_opt")
	}
	if s.Restart == "" {
		bad("is not restarted")
	}
	return errs
}
