// Names of files and folders that are being written, and the removal of those whose writer died.
// Removes nothing that does not bear such a name. Any thread.
#pragma once

#include <string>
#include <string_view>

namespace qi {

/// A name that carries this process's pid and start time; a new one each time.
std::string temporary_name();

bool is_temporary_name(std::string_view name);

/// Removes what dead runs left in the folder: their owner is gone and their lock is free.
void remove_leftovers(int folder_fd);

/// Removes the files of a folder, not the folders in it. Tells nobody when it cannot.
void remove_files(int folder_fd);

/// Removes a temporary folder and what we put into it. Tells nobody when it cannot.
void remove_folder(int parent_fd, const char* name);

}  // namespace qi
