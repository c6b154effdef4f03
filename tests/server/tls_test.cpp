// https: the same server behind TLS, with certificates made here.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <csignal>
#include <filesystem>

#include "server/http_stream.h"
#include "server/test_server.h"
#include "support/temporary_folder.h"

namespace autoglm {
namespace {

using nlohmann::json;
using test::Client;
using test::Reply;
using test::ServerSetup;
using test::TestServer;
using testing::HasSubstr;

std::string pem(const std::function<int(BIO*)>& write) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  EXPECT_EQ(write(bio.get()), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

struct Pair {
  std::string certificate, key, locked_key;
};

// A certificate that signs itself, for 127.0.0.1.
Pair make_pair_for(const std::string& name) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> made(X509_new(), X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(made.get(), subject);
  EXPECT_GT(X509_sign(made.get(), key.get(), EVP_sha256()), 0);
  std::string word = "word";
  return {pem([&](BIO* out) { return PEM_write_bio_X509(out, made.get()); }), pem([&](BIO* out) {
            return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          }),
          pem([&](BIO* out) {
            return PEM_write_bio_PrivateKey(out, key.get(), EVP_aes_128_cbc(), nullptr, 0, nullptr, word.data());
          })};
}

std::string peer_name(Client& client) {
  const std::unique_ptr<X509, void (*)(X509*)> peer(SSL_get1_peer_certificate(client.tls()), X509_free);
  std::array<char, 100> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName, name.data(), name.size());
  return name.data();
}

class Tls : public testing::Test {
 protected:
  Tls() { use(make_pair_for("first")); }
  void use(const Pair& pair) {
    folder_.write("cert.pem", pair.certificate);
    folder_.write("key.pem", pair.key);
  }
  TlsFiles files() const { return {(folder_ / "cert.pem").string(), (folder_ / "key.pem").string()}; }
  ServerSetup setup() const {
    ServerSetup setup;
    setup.server.tls = files();
    return setup;
  }
  /// Trusts whatever certificate lies in the folder now.
  Client client(const TestServer& server, int version = 0) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_load_verify_locations(context_.get(), files().certificate.c_str(), nullptr);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    if (version != 0) {
      SSL_CTX_set_min_proto_version(context_.get(), version);
      SSL_CTX_set_max_proto_version(context_.get(), version);
      SSL_CTX_set_security_level(context_.get(), 0);
    }
    Client made = server.client();
    secure_ = made.start_tls(context_.get());
    return made;
  }

  test::TemporaryFolder folder_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_{nullptr, SSL_CTX_free};
  bool secure_ = false;
};

TEST_F(Tls, AnswersAndStreamsAsWithout) {
  std::string alone;
  const json body = {{"prompt", "hello"}, {"max_tokens", 40}};
  {
    TestServer plain;
    alone = plain.client().post("/v1/completions", body).json()["choices"][0]["text"];
  }
  TestServer server(setup());
  EXPECT_THAT(server.server().address(), testing::StartsWith("https://127.0.0.1:"));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Client tls = client(server, version);
    ASSERT_TRUE(secure_);
    EXPECT_EQ(tls.get("/health").status, 200);
    EXPECT_EQ(tls.post("/v1/completions", body).json()["choices"][0]["text"], alone);
    json stream = body;
    stream["stream"] = true;
    const Reply reply = tls.post("/v1/completions", stream);
    EXPECT_TRUE(reply.whole);
    EXPECT_EQ(reply.events().back(), "[DONE]");
    EXPECT_EQ(tls.post("/tokenize", {{"prompt", std::string(300000, 'a')}}).json()["count"], 300000) << "many records";
    EXPECT_EQ(tls.get("/health", "Connection: close\r\n").status, 200);
    EXPECT_TRUE(tls.closed());
    EXPECT_NE(SSL_get_shutdown(tls.tls()) & SSL_RECEIVED_SHUTDOWN, 0) << "an end that nobody can have made up";
  }
}

TEST_F(Tls, OldVersionsAndOtherAuthoritiesAreRefused) {
  TestServer server(setup());
  client(server, TLS1_1_VERSION);
  EXPECT_FALSE(secure_);
  use(make_pair_for("stranger"));
  client(server);
  EXPECT_FALSE(secure_) << "the client trusts another one";
}

TEST_F(Tls, WhoSpeaksPlainHttpIsToldSo) {
  TestServer server(setup());
  Client plain = server.client();
  const Reply reply = plain.get("/health");
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("https://"));
  EXPECT_TRUE(plain.closed());
  Client noise = server.client();
  noise.send(std::string("\x16\x03\x01\xff\xff") + std::string(2000, 'x'));
  noise.receive();
  EXPECT_TRUE(noise.closed());
  Client leaves = server.client();
  leaves.send("\x16");
  leaves.reset();
  Client tls = client(server);
  EXPECT_EQ(tls.get("/health").status, 200);
}

TEST_F(Tls, WhoDoesNotFinishTheHandshakeIsLetGo) {
  ServerSetup impatient = setup();
  impatient.server.http.idle_seconds = 0.2;
  TestServer server(std::move(impatient));
  Client silent = server.client();
  Client begins = server.client();
  begins.send("\x16\x03\x01");
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(begins.closed());
}

TEST_F(Tls, LimitsHoldAsWithout) {
  ServerSetup small = setup();
  small.server.http.body_bytes = 2000;
  small.server.http.idle_seconds = 0.3;
  TestServer server(std::move(small));
  Client tls = client(server);
  const Reply reply = tls.post("/tokenize", {{"prompt", std::string(100000, 'a')}});
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(client(server).get("/health", "X-Long: " + std::string(100000, 'a') + "\r\n").status, 431);
  Client idle = client(server);
  EXPECT_TRUE(idle.closed());
}

TEST_F(Tls, AHangUpIsNoticed) {
  ServerSetup slow = setup();
  slow.stepper->context_size = 20000;
  slow.stepper->block_count = 1300;
  TestServer server(std::move(slow));
  Client watcher = client(server);
  for (const bool streamed : {true, false}) {
    for (const bool reset : {true, false}) {
      Client leaves = client(server);
      leaves.start_post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 19000}, {"stream", streamed}});
      EXPECT_TRUE(test::eventually([&] { return test::metric(watcher, "vllm:num_requests_running") == 1; }));
      if (!reset) SSL_shutdown(leaves.tls());
      reset ? leaves.reset() : leaves.close();
      EXPECT_TRUE(test::eventually([&] { return test::metric(watcher, "vllm:num_requests_running") == 0; }));
    }
  }
  EXPECT_EQ(test::metric(watcher, "autoglm:requests_cancelled_total"), 4);
}

TEST_F(Tls, SighupReadsTheCertificateAgain) {
  ServerSetup signalled = setup();
  signalled.server.signals = true;
  TestServer server(std::move(signalled));
  Client before = client(server);
  EXPECT_EQ(peer_name(before), "first");
  use(make_pair_for("second"));
  std::raise(SIGHUP);
  EXPECT_TRUE(test::eventually([&] {
    Client after = client(server);
    return secure_ && peer_name(after) == "second";
  }));
  EXPECT_EQ(before.get("/health").status, 200) << "who was here stays";
  folder_.write("key.pem", "nonsense");
  std::raise(SIGHUP);
  for (int i = 0; i < 5; ++i) {
    Client after = client(server);
    EXPECT_TRUE(secure_) << "files that cannot be used change nothing";
    EXPECT_EQ(after.get("/health").status, 200);
  }
}

TEST_F(Tls, FilesThatCannotBeUsedAreErrors) {
  const auto code = [](const TlsFiles& files) {
    try {
      make_tls_context(files);
    } catch (const Error& error) {
      return error.code();
    }
    return Code::internal;
  };
  const Pair pair = make_pair_for("other");
  EXPECT_EQ(code({files().certificate, ""}), Code::bad_flag);
  EXPECT_EQ(code({"", files().key}), Code::bad_flag);
  EXPECT_EQ(code({(folder_ / "missing").string(), files().key}), Code::bad_file);
  EXPECT_EQ(code({files().certificate, (folder_ / "missing").string()}), Code::bad_file);
  EXPECT_EQ(code({files().key, files().key}), Code::bad_file);
  EXPECT_EQ(code({files().certificate, folder_.write("other.pem", pair.key).string()}), Code::bad_file);
  EXPECT_EQ(code({folder_.write("c.pem", pair.certificate).string(), folder_.write("l.pem", pair.locked_key).string()}),
            Code::bad_file);
  EXPECT_NE(make_tls_context(files()), nullptr);
  EXPECT_EQ(make_tls_context({}), nullptr);
}

}  // namespace
}  // namespace autoglm
