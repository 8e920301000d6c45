//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The crowd of F14 is a process of its own, with less right to the processors than
// everybody else: in life the clients' processors are not the node's.

// crowdFlag in the environment makes this binary the crowd: the number of clients,
// the URL of the node where they are, and those of the nodes to which they go.
const crowdFlag = "FANWIRE_FAULTS_CROWD"

func startCrowd(t *testing.T, count int, from *server, to ...*server) *process {
	t.Helper()
	words := []string{strconv.Itoa(count), from.url}
	for _, n := range to {
		words = append(words, n.url)
	}
	return start(t, "crowd", []string{os.Args[0]}, withEnv(crowdFlag+"="+strings.Join(words, " ")))
}

// crowd connects all, waits until they are disconnected, connects them elsewhere,
// and stays until the process is ended.
func crowd(words []string) int {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 15)
	count, err := strconv.Atoi(words[0])
	if err != nil || len(words) < 3 {
		return 2
	}
	ctx := context.Background()
	peers := make([]*raw, count)
	err = inParallel(count, 50, func(i int) error {
		c, err := dialRaw(ctx, words[1], &rawDialer)
		peers[i] = c
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var readers sync.WaitGroup
	for _, c := range peers {
		readers.Go(c.run)
	}
	tell(map[string]string{"event": "in"})
	var refused atomic.Int64
	err = inParallel(count, count, func(i int) error {
		<-peers[i].ended
		c, err := comeBack(ctx, words[2:], i, &refused)
		if err == nil {
			readers.Go(c.run)
		}
		return err
	})
	text := ""
	if err != nil {
		text = err.Error()
	}
	tell(map[string]string{"event": "again", "refused": fmt.Sprint(refused.Load()), "error": text})
	readers.Wait()
	return 0
}

func tell(v map[string]string) { _ = json.NewEncoder(os.Stdout).Encode(v) }

// comeBack connects to one of several nodes: within half a second, where official
// clients take up to a second and a half, and again as they do.
func comeBack(ctx context.Context, urls []string, i int, refused *atomic.Int64) (*raw, error) {
	for attempt := range 30 {
		pause := time.Duration(rand.Int64N(int64(500 * time.Millisecond)))
		if attempt > 0 {
			pause = time.Duration((0.5 + rand.Float64()) * float64(min(time.Second<<min(attempt, 3), 5*time.Second)))
		}
		time.Sleep(pause) // what the client itself waits
		c, err := dialRaw(ctx, urls[(i+attempt)%len(urls)], &rawDialer)
		if err == nil {
			return c, nil
		}
		refused.Add(1)
	}
	return nil, fmt.Errorf("client %d never got in", i)
}
