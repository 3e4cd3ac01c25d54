// SPDX-License-Identifier: Apache-2.0
// Goroutines, channels, garbage, files, a TCP server and its clients, child processes, timers: two seconds, fixed output.
package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

func hash(seed int) string {
	data := []byte(fmt.Sprint(seed))
	for i := 0; i < 20000; i++ {
		sum := sha256.Sum256(data)
		data = append([]byte(nil), sum[:]...) // garbage on purpose
	}
	return fmt.Sprintf("%x", data[:8])
}

func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			io.Copy(connection, connection)
		}()
	}
}

func fail(what string, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, what, err)
		os.Exit(1)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail("listen", err)
	go serve(listener)
	for round := 0; round < 8; round++ {
		results := make([]string, 6)
		var group sync.WaitGroup
		for i := range results {
			group.Add(1)
			go func(i int) {
				defer group.Done()
				results[i] = hash(round*10 + i)
			}(i)
		}
		group.Wait()
		connection, err := net.Dial("tcp", listener.Addr().String())
		fail("dial", err)
		fmt.Fprintln(connection, strings.Join(results, " "))
		line, err := bufio.NewReader(connection).ReadString('\n')
		fail("echo", err)
		connection.Close()
		output, err := exec.Command("/bin/echo", "child", fmt.Sprint(round)).Output()
		fail("child", err)
		fail("write", os.WriteFile("go-output", []byte(line), 0600))
		back, err := os.ReadFile("go-output")
		fail("read", err)
		runtime.GC()
		time.Sleep(50 * time.Millisecond)
		fmt.Print(string(back), string(output))
	}
	os.Remove("go-output")
}
