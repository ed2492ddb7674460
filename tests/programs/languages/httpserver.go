// SPDX-License-Identifier: GPL-2.0-or-later

// A server on a loopback port that asks itself as often as its argument says and prints how many bytes have come back.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
)

func answer(out http.ResponseWriter, request *http.Request) {
	fmt.Fprintf(out, "hello %s\n", request.URL.Path)
}

func main() {
	times, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(answer))
	total := 0
	for i := 0; i < times; i++ {
		response, err := http.Get(fmt.Sprintf("http://%s/%d", listener.Addr(), i))
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		total += len(body)
	}
	fmt.Println(total)
}
