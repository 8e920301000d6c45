package fleet

import (
	"context"
	"net"
	"net/netip"
	"time"
)

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialers returns one for each local address, or one that leaves it to the system.
func dialers(local []netip.Addr, timeout time.Duration) []dialFunc {
	if len(local) == 0 {
		return []dialFunc{(&net.Dialer{Timeout: timeout}).DialContext}
	}
	var all []dialFunc
	for _, a := range local {
		d := &net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: a.AsSlice(), Zone: a.Zone()}, Control: lateBind}
		all = append(all, d.DialContext)
	}
	return all
}
