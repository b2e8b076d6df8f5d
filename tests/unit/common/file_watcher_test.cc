#include "common/file_watcher.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <semaphore>

#include "common/config_environment.h"

namespace common {
namespace {

constexpr std::chrono::milliseconds kInterval(1);

// A ConfigMap or Secret as Kubernetes mounts it: the files are links through "..data", which is
// swapped.
class FileWatcherTest : public ::testing::Test {
 protected:
  FileWatcherTest()
      : directory_(std::filesystem::path(::testing::TempDir()) /
                   ("file_watcher_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(directory_);
    Publish("v1", "one");
    std::filesystem::create_symlink("..data/config.yaml", Path());
    std::filesystem::create_symlink("..data/key", KeyPath());
  }
  ~FileWatcherTest() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path Path() const { return directory_ / "config.yaml"; }
  std::filesystem::path KeyPath() const { return directory_ / "key"; }

  void Publish(const std::string& version, std::string_view content, std::string_view key = "") {
    std::filesystem::create_directories(directory_ / version);
    std::ofstream(directory_ / version / "config.yaml") << content;
    if (!key.empty()) std::ofstream(directory_ / version / "key") << key;
    std::filesystem::create_directory_symlink(version, directory_ / "..data_tmp");
    std::filesystem::rename(directory_ / "..data_tmp", directory_ / "..data");
  }

  std::filesystem::path directory_;
  std::counting_semaphore<> changed_{0};
};

TEST_F(FileWatcherTest, ASwappedLinkIsAChangeAndTheSameContentIsNone) {
  {
    FileWatcher watcher({Path()}, kInterval, [&] { changed_.release(); });
    Publish("v2", "two");
    changed_.acquire();
    Publish("v3", "two");
    Publish("v4", "four");
    changed_.acquire();
  }
  EXPECT_FALSE(changed_.try_acquire());
}

TEST_F(FileWatcherTest, AFileThatIsAwayForAWhileHasNotChanged) {
  std::filesystem::remove(directory_ / "..data");
  {
    FileWatcher watcher({Path()}, kInterval, [&] { changed_.release(); });
    Publish("v2", "two");
    changed_.acquire();
    std::filesystem::remove(directory_ / "..data");
    Publish("v3", "three");
    changed_.acquire();
  }
  EXPECT_FALSE(changed_.try_acquire());
}

TEST_F(FileWatcherTest, FilesOfTheConfigurationAreWatchedAsSoonAsTheyAreRead) {
  FileWatcher watcher({Path()}, kInterval, [&] { changed_.release(); });
  const ConfigEnvironment environment = WatchedConfigEnvironment(watcher);
  EXPECT_FALSE(environment.file(KeyPath()).ok()) << "a key that comes later is a change, too";
  Publish("v2", "one", "sk-1");
  changed_.acquire();
  EXPECT_EQ(*environment.file(KeyPath()), "sk-1");
  Publish("v3", "one", "sk-2");
  changed_.acquire();
  Publish("v4", "four", "sk-4");
  changed_.acquire();
}

TEST_F(FileWatcherTest, FilesThatAreNotReadAgainAreForgotten) {
  {
    FileWatcher watcher({Path()}, kInterval, [&] { changed_.release(); });
    EXPECT_FALSE(watcher.Read(KeyPath(), 100).ok());
    watcher.StartOver();
    Publish("v2", "one", "sk-1");
    Publish("v3", "three", "sk-2");
    changed_.acquire();
  }
  EXPECT_FALSE(changed_.try_acquire());
}

}  // namespace
}  // namespace common
