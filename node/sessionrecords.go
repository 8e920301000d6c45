package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// records writes the sessions of a namespace into the journal while they live, so
// that their clients can continue on another node also when this one was killed
// (HRD-71): soon after the CONNECT, after changes of rooms and data, every
// refreshPeriod, and at the end. One goroutine does that as long as there is
// something to write; nobody waits for it but who needs the record.
//
// A session has one job at a time at most, which says what is to be written, not
// when it changed: so what waits is bounded by the sessions.
type records struct {
	ns *Namespace // static

	mu      sync.Mutex            // guards the fields below, and the jobs
	jobs    map[string]*recordJob // by pid
	ending  map[string]string     // pids by socket id, of jobs with the last record of a session
	failing bool                  // the broker did not take what was written last
	urgent  chan struct{}         // has room for one: write now
	running bool
	timer   *time.Timer // of the next refresh; nil while there are no sockets
	samples []sample    // of what this node has delivered, oldest first
}

// recordJob is a record to be written or removed.
type recordJob struct {
	s      *Socket          // of which the record is made when it is written; or
	last   *adapter.Session // the last one of a session that has ended
	remove bool             // last is to be removed
	fresh  bool             // the session was made or taken here (see [adapter.Journal])

	again  bool          // it has changed since it was taken up
	failed bool          // it could not be written, and was counted
	done   chan struct{} // closed when it is written or given up; made on demand
}

// sample is an offset and when it was the node's.
type sample struct {
	at     time.Duration // after srv.epoch
	offset string
}

const (
	recordDelay   = 100 * time.Millisecond // so that changes that come together are one
	recordTimeout = 2 * time.Second
	recordRetry   = time.Second
	recordBatch   = 1000
	recordWriters = 16      // at a time
	maxRecordJobs = 200_000 // beyond that records are not written, and counted
	maxSamples    = 6
)

// opened has the record of an accepted socket written.
func (r *records) opened(s *Socket) {
	if s.rec.pid == "" {
		return
	}
	if !s.rec.kept {
		r.put(s.rec.pid, recordJob{s: s, fresh: true}, true)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil {
		r.timer = time.AfterFunc(refreshPeriod, r.refresh)
	}
}

// changed has the record of s written soon.
func (s *Socket) changed() {
	if s.rec != nil && s.rec.pid != "" && s.state.Load() == stateConnected {
		s.ns.records.put(s.rec.pid, recordJob{s: s}, false)
	}
}

// ended has the last record of s written, or removed if its client must not come
// back to it (socketio.md section 8).
func (r *records) ended(s *Socket) {
	if s.rec.pid == "" {
		return
	}
	session := s.finalRecord()
	s.client.mu.Lock()
	lost := s.rec.lost
	s.client.mu.Unlock()
	r.put(session.PID, recordJob{last: session, remove: lost || !s.end.Reason.recoverable()}, true)
}

// giveBack has a record that was taken written as it was.
func (r *records) giveBack(session *adapter.Session) {
	r.put(session.PID, recordJob{last: session, fresh: true}, true)
}

// discard has a record removed.
func (r *records) discard(session *adapter.Session) {
	r.put(session.PID, recordJob{last: session, remove: true}, true)
}

// liveTTL is how long a record lasts that is written again and again.
func (r *records) liveTTL() time.Duration {
	return r.ns.srv.cfg.Recovery.MaxDisconnection + refreshPeriod + recoveryMargin
}

// recoverable tells whether a client may continue after an end for this reason.
func (d DisconnectReason) recoverable() bool {
	switch d {
	case ReasonClientDisconnect, ReasonServerDisconnect, ReasonParseError:
		return false
	}
	return true
}

// record is the session of s as it is now, nil if s has ended.
func (s *Socket) record() *adapter.Session {
	c := s.client
	c.mu.Lock()
	dead := s.end != nil || s.rec.evicted || s.rec.lost
	c.mu.Unlock()
	if dead {
		return nil
	}
	return s.finalRecord()
}

// finalRecord is the session of s as it is now, also if s has ended.
func (s *Socket) finalRecord() *adapter.Session {
	data := s.jsonData()
	rooms := s.Rooms()
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return &adapter.Session{
		PID:    s.rec.pid,
		ID:     s.id,
		Data:   data,
		Rooms:  rooms,
		Offset: s.rec.floor,
		Owner:  s.client.srv.cfg.NodeID,
		Epoch:  s.rec.epoch,
	}
}

// put adds a job, or makes it part of the one that the session has. urgent ones are
// written at once, others within recordDelay.
func (r *records) put(pid string, j recordJob, urgent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs == nil {
		r.jobs, r.ending = map[string]*recordJob{}, map[string]string{}
		r.urgent = make(chan struct{}, 1)
	}
	old := r.jobs[pid]
	switch {
	case old == nil && len(r.jobs) >= maxRecordJobs:
		r.ns.srv.counters.recordsFailed.Add(1)
		return
	case old == nil:
		r.jobs[pid] = &j
	default:
		if old.last != nil {
			delete(r.ending, old.last.ID)
		}
		old.s, old.last, old.remove, old.fresh = j.s, j.last, j.remove, j.fresh || old.fresh
		old.again = true
	}
	if j.last != nil {
		r.ending[j.last.ID] = pid
	}
	if urgent {
		r.hurryLocked()
	}
	if !r.running {
		r.running = true
		r.ns.srv.tasks.Go(r.run)
	}
}

func (r *records) hurryLocked() {
	select {
	case r.urgent <- struct{}{}:
	default:
	}
}

// settleEnded is settle for a session that has ended, by the id of its socket.
func (r *records) settleEnded(ctx context.Context, id string) {
	r.mu.Lock()
	pid, ok := r.ending[id]
	r.mu.Unlock()
	if ok {
		r.settle(ctx, pid)
	}
}

// Leaving has the records written before the session is closed: its client may be at
// another node the next moment. It does not wait for a broker that is away.
func (c *client) Leaving(ctx context.Context) {
	c.mu.Lock()
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	for _, s := range sockets {
		if s.rec != nil && s.ready() && !s.ns.records.isFailing() {
			s.ns.records.settle(ctx, s.rec.pid)
		}
	}
}

// pending returns how many sessions have something that is to be written.
func (r *records) pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs)
}

func (r *records) isFailing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failing
}

// settle waits until what is known of a session is written, as far as ctx allows.
func (r *records) settle(ctx context.Context, pid string) {
	r.mu.Lock()
	j := r.jobs[pid]
	if j == nil {
		r.mu.Unlock()
		return
	}
	if j.done == nil {
		j.done = make(chan struct{})
	}
	done := j.done
	r.hurryLocked()
	r.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// run writes until there is nothing more to write. The server waits for it.
func (r *records) run() {
	for {
		r.await(r.isFailing())
		batch := r.takeBatch()
		if batch == nil {
			return
		}
		failed := r.write(batch)
		r.mu.Lock()
		r.failing = failed
		r.mu.Unlock()
	}
}

// await waits before the next batch: for more changes, or for the broker to come
// back. A server that is ending does not wait.
func (r *records) await(failed bool) {
	d, urgent := recordDelay, r.urgent
	if failed {
		d, urgent = recordRetry, nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-urgent:
	case <-r.ns.srv.starting.Done():
	}
}

// takeBatch returns jobs to be done; nil if there are none, and run ends.
func (r *records) takeBatch() []*recordJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.jobs) == 0 {
		r.running, r.failing = false, false
		return nil
	}
	batch := make([]*recordJob, 0, min(len(r.jobs), recordBatch))
	for _, j := range r.jobs {
		if len(batch) == cap(batch) {
			r.hurryLocked()
			break
		}
		j.again = false
		batch = append(batch, j)
	}
	return batch
}

// write does the jobs, some at a time, and reports whether one has failed.
func (r *records) write(batch []*recordJob) (failed bool) {
	ctx, cancel := context.WithTimeout(r.ns.srv.ctx, recordTimeout)
	defer cancel()
	if len(batch) == 1 {
		return r.do(ctx, batch[0])
	}
	var wg sync.WaitGroup
	share := (len(batch) + recordWriters - 1) / recordWriters
	results := make(chan bool, recordWriters)
	for part := range slices.Chunk(batch, share) {
		wg.Go(func() {
			bad := false
			for _, j := range part {
				bad = r.do(ctx, j) || bad
			}
			results <- bad
		})
	}
	wg.Wait()
	close(results)
	for bad := range results {
		failed = failed || bad
	}
	return failed
}

// do does one job. One that fails stays, unless the server is ending.
func (r *records) do(ctx context.Context, j *recordJob) (failed bool) {
	r.mu.Lock()
	now := *j
	r.mu.Unlock()
	err := r.perform(ctx, &now)
	if err != nil {
		r.ns.srv.log.Debug("writing a session's record", "namespace", r.ns.name, "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && !j.failed {
		j.failed = true
		r.ns.srv.counters.recordsFailed.Add(1)
	}
	if j.again || err != nil && r.ns.srv.starting.Err() == nil && !errors.Is(err, errPanic) {
		return err != nil // fresh stays set: the record may be there all the same
	}
	delete(r.jobs, j.pid())
	if j.last != nil {
		delete(r.ending, j.last.ID)
	}
	if j.done != nil {
		close(j.done)
	}
	return err != nil
}

func (j *recordJob) pid() string {
	if j.s != nil {
		return j.s.rec.pid
	}
	return j.last.PID
}

// perform writes or removes one record.
func (r *records) perform(ctx context.Context, j *recordJob) (err error) {
	defer func() {
		if v := recover(); v != nil { // the data of a socket may have methods
			r.ns.srv.countPanic("task")
			err = fmt.Errorf("%w: %v", errPanic, v)
		}
	}()
	session, ttl := j.last, r.ns.srv.cfg.Recovery.MaxDisconnection
	if j.s != nil {
		if session = j.s.record(); session == nil {
			return nil // the last one follows, if it is to be written
		}
		ttl = r.liveTTL()
	}
	if j.remove {
		return r.ns.journal.DropSession(ctx, session)
	}
	if err = r.ns.journal.SaveSession(ctx, session, ttl, j.fresh); err == nil && j.s != nil {
		j.s.client.mu.Lock()
		j.s.rec.written = session.Offset
		j.s.client.mu.Unlock()
	}
	return err
}

// refresh makes the records of live sessions last, and says in them what their
// clients have got by now. A timer calls it.
func (r *records) refresh() {
	ns := r.ns
	ns.srv.tasks.Go(func() {
		defer ns.recovered("task")
		if r.again() {
			r.refreshAll()
		}
	})
}

// stop ends the refreshing and waits for what is to be written, as far as ctx
// allows.
func (r *records) stop(ctx context.Context) {
	r.mu.Lock()
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.mu.Unlock()
	r.wait(ctx)
}

// wait returns when what there is to write now is written, or ctx ends.
func (r *records) wait(ctx context.Context) {
	r.mu.Lock()
	var list []string
	for pid := range r.jobs {
		list = append(list, pid)
	}
	r.mu.Unlock()
	for _, pid := range list {
		r.settle(ctx, pid)
	}
}

// again sets the timer for the next refresh, unless there is nobody.
func (r *records) again() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil || r.ns.Len() == 0 {
		r.timer, r.samples = nil, nil
		return false
	}
	r.timer.Reset(refreshPeriod)
	return true
}

func (r *records) refreshAll() {
	ns := r.ns
	samples := r.takeSample()
	var pids []string
	for _, s := range ns.index.everybody() {
		if s.rec.pid == "" || !s.ready() {
			continue
		}
		if s.moveFloor(samples) {
			r.put(s.rec.pid, recordJob{s: s}, false)
			continue
		}
		pids = append(pids, s.rec.pid)
	}
	ttl := r.liveTTL()
	for part := range slices.Chunk(pids, recordBatch) {
		ctx, cancel := context.WithTimeout(ns.srv.ctx, recordTimeout)
		err := ns.journal.TouchSessions(ctx, part, ttl)
		cancel()
		if err != nil {
			ns.srv.counters.recordsFailed.Add(uint64(len(part)))
			ns.srv.log.Debug("keeping session records", "namespace", ns.name, "error", err)
		}
	}
}

// takeSample notes what this node has delivered by now.
func (r *records) takeSample() []sample {
	ns := r.ns
	ns.order.Lock()
	now := sample{time.Since(ns.srv.epoch), ns.journal.Here()}
	ns.order.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, now)
	if len(r.samples) > maxSamples {
		r.samples = slices.Delete(r.samples, 0, 1)
	}
	return slices.Clone(r.samples)
}

// moveFloor notes what the client has got: what was sent before the last ping that
// it has answered. It reports whether the record says something else.
func (s *Socket) moveFloor(samples []sample) (changed bool) {
	ago, ok := s.client.sess.Answered()
	if !ok {
		return false
	}
	pinged := time.Since(s.client.srv.epoch) - ago
	for _, sample := range slices.Backward(samples) {
		if sample.at < s.rec.accepted {
			return false
		}
		if sample.at <= pinged {
			s.client.mu.Lock()
			defer s.client.mu.Unlock()
			s.rec.floor = sample.offset
			return s.rec.floor != s.rec.written
		}
	}
	return false
}
