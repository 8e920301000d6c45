//go:build !unix

package watch

import "time"

func processorTime() time.Duration { return 0 }
func memoryMax() int64             { return 0 }
func openFiles() int64             { return 0 }
